"""The picture of a rollout has a panel for each figure that was compared."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from PIL import Image

from materializers.picture_sheet import places_of
from steps.deployment.observing.observation import observe_rollout
from steps.deployment.observing.pictures import FIGURES, rollout_pictures
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
