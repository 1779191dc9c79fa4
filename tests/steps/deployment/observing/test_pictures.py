"""The picture of a rollout has a panel for each figure that was compared."""

from __future__ import annotations

import io
from datetime import timedelta
from itertools import pairwise

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from materializers.picture_sheet import places_of
from steps.deployment.observing.observation import observe_rollout
from steps.deployment.observing.pictures import FIGURES, count_axis, rollout_pictures
from steps.deployment.observing.settings import ObserveSettings
from tests.steps.deployment.observing.traffic import BEGIN, captures, posted, rolling

SETTINGS = ObserveSettings(settling_s=0)


@pytest.mark.parametrize("errors", [0.0, 1.0])
def test_an_observation_is_a_chart_that_a_page_can_show(errors: float) -> None:
    """Small, and no photograph; also where some figures have nothing to show."""
    found = observe_rollout(
        rolling(),
        captures(9000, seed=99, prefix="h"),
        captures(1000, errors=errors),
        posted(),
        SETTINGS,
        now=BEGIN + timedelta(days=1),
    )
    picture = rollout_pictures(found)[FIGURES]
    assert places_of(picture) == {}
    assert len(picture) < 200_000
    height = Image.open(io.BytesIO(picture)).height
    assert height > (100 if errors else 700)


def test_before_the_first_look_there_is_nothing_to_draw() -> None:
    """And no empty picture."""
    found = observe_rollout(
        rolling(), captures(90, prefix="h"), captures(10), posted(), SETTINGS, now=BEGIN + timedelta(days=1)
    )
    assert rollout_pictures(found) == {}


@pytest.mark.parametrize("counts", [[20], [20, 38, 73, 140, 267, 500], [200 * 2**look for look in range(10)]])
def test_the_numbers_below_a_panel_can_be_read(counts: list[int]) -> None:
    """They lie apart, the last look's is among them, and none is written as a power."""
    figure = Figure(figsize=(4.5, 2.3))
    axes = figure.subplots()
    axes.plot(counts, counts)
    count_axis(axes, counts)
    axes.tick_params(labelsize="small")
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    labels = [label for label in axes.get_xticklabels(which="both") if label.get_text()]
    assert f"{counts[-1]:,}" in [label.get_text() for label in labels]
    boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: box.x0)
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
