"""The picture of a comparison."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from materializers.evaluation.comparison import Comparison
from steps.evaluation.comparison.compare import Answers, Other, Rows, compare
from steps.evaluation.comparison.pictures import FINE, HARM, NOT_JUDGED, forest_picture
from steps.evaluation.comparison.settings import ComparisonSettings


def compared(classes: int, n: int, lost: int) -> Comparison:
    """A challenger that has the first rows of every class wrong."""
    names = tuple(f"class {number:03d}" for number in range(classes))
    true = np.array([names[number % classes] for number in range(n)], dtype=object)
    predicted = true.copy()
    predicted[: lost * classes] = None
    rows = Rows(true, golden=np.arange(n) % 5 == 0, new=np.zeros(n, dtype=bool))
    return compare(rows, Answers(predicted, names), Other(Answers(true, names)), ComparisonSettings())


def has(picture: bytes, colour: str) -> bool:
    """Whether a pixel has this colour."""
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).reshape(-1, 3)
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return bool((pixels == wanted).all(axis=1).any())


def test_a_loss_is_red_and_what_was_not_judged_is_grey() -> None:
    """A fine challenger has neither."""
    fine, lost, few = (forest_picture(compared(3, n, k)) for n, k in ((600, 0), (600, 60), (90, 0)))
    assert has(fine, FINE) and not has(fine, HARM) and not has(fine, NOT_JUDGED)
    assert has(lost, HARM)
    assert has(few, NOT_JUDGED)


def test_a_hundred_classes_stay_one_small_picture() -> None:
    """Those with the largest losses are drawn."""
    picture = forest_picture(compared(100, 6000, 2))
    assert len(picture) <= 150_000
    assert Image.open(io.BytesIO(picture)).height <= 1200


def test_what_was_not_assessed_has_no_picture() -> None:
    """Nothing is drawn instead."""
    with pytest.raises(ValueError, match="not assessed"):
        forest_picture(Comparison(not_assessed="The champion cannot be read."))
