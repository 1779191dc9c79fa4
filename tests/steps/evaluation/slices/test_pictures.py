"""The chart of all groups."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from materializers.evaluation.metric import Metric
from steps.evaluation.slices.pictures import MOST_SHOWN, slices_picture


def metric(value: float) -> Metric:
    return Metric(value=value, low=max(0.0, value - 0.05), high=min(1.0, value + 0.05), n=100)


def red(data: bytes) -> int:
    """How many pixels are red."""
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    return int(((pixels[..., 0] > 180) & (pixels[..., 1] < 90) & (pixels[..., 2] < 90)).sum())


def test_a_chart_of_many_groups_is_a_small_png() -> None:
    """Columns that have no room are not squeezed in."""
    columns = {f"column {at}": {f"group {each}": metric(0.9) for each in range(20)} for at in range(9)}
    one, all_of_them = (slices_picture(shown, 0.9) for shown in ({"a": columns["column 0"]}, columns))
    assert len(all_of_them) < 150_000
    heights = [Image.open(io.BytesIO(data)).height for data in (one, all_of_them)]
    assert heights[0] < heights[1] < 30 * MOST_SHOWN


def test_a_group_is_red_that_is_surely_below_all() -> None:
    """One whose interval reaches the accuracy of all is not."""
    assert red(slices_picture({"shop": {"a": metric(0.95), "b": metric(0.6)}}, 0.9)) > 50
    assert red(slices_picture({"shop": {"a": metric(0.95), "b": metric(0.86)}}, 0.9)) == 0


def test_a_name_is_drawn_as_it_is() -> None:
    """Dollars are no formula, and a long name leaves room for the chart."""
    groups = {"$10 to $^{": metric(0.9), "x" * 500: metric(0.9)}
    with Image.open(io.BytesIO(slices_picture({"price in $": groups}, 0.9))) as image:
        assert image.format == "PNG"
        assert image.width < 700
