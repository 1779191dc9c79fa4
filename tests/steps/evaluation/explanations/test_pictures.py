"""The sheet of explained answers and the chart of features."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from materializers.evaluation.explanations import Explained, FeatureImportance
from materializers.picture_sheet import erase_from_sheet, places_of
from steps.evaluation.explanations.answers import ExplainedAnswers
from steps.evaluation.explanations.pictures import (
    MOST_BYTES,
    coloured,
    explanation_sheet,
    importance_picture,
)


def shown(count: int, height: int, width: int, *, cam: bool = True) -> ExplainedAnswers:
    """Noise, which no PNG makes small."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    return ExplainedAnswers(
        positions=np.arange(count),
        pixels=pixels,
        missing=pixels,
        answered=np.zeros(count, dtype=np.int64),
        gradients=generator.normal(size=(count, height, width)),
        cam=generator.normal(size=(count, height, width)) if cam else None,
    )


def said(count: int, wrong: int = 0, true: str = "tops") -> list[Explained]:
    return [
        Explained(
            image_id=f"{row:064x}",
            true=true,
            answered="dresses" if row >= count - wrong else true,
            probability=0.5,
        )
        for row in range(count)
    ]


def opened(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


@pytest.mark.parametrize(("height", "width"), [(28, 28), (224, 224), (96, 192)])
def test_a_full_sheet_of_photographs_is_small(height: int, width: int) -> None:
    """Twelve right and twelve wrong answers, with long names, stay within the limit."""
    png = explanation_sheet(
        said(24, 12, "a category with a very long name indeed" * 3), shown(24, height, width)
    )
    assert len(png) <= MOST_BYTES
    assert min(opened(png).shape[:2]) > 200


def test_a_forgotten_picture_is_erased_with_its_maps() -> None:
    """They show its outline; the other answers stay."""
    answers = said(4, 2)
    png = explanation_sheet(answers, shown(4, 28, 28))
    places = places_of(png)
    assert places is not None
    assert places.keys() == {each.image_id for each in answers}
    erased = erase_from_sheet(png, [answers[1].image_id])
    assert erased is not None
    before, after = opened(png), opened(erased)
    ((left, top, right, bottom),) = places[answers[1].image_id]
    assert (after[top:bottom, left:right] == 255).all()
    changed = (before != after).any(axis=2)
    changed[top:bottom, left:right] = False
    assert not changed.any()
    # All three pictures lay in the box: nothing that is no white is left of them beside it.
    assert right - left >= 3 * (bottom - top)


def test_right_answers_lie_left_and_wrong_ones_right() -> None:
    """As many columns without Grad-CAM as there are pictures."""
    answers = said(4, 2)
    boxes = places_of(explanation_sheet(answers, shown(4, 28, 28)))
    assert boxes is not None
    lefts = [boxes[each.image_id][0][0] for each in answers]
    assert lefts[0] == lefts[1] < lefts[2] == lefts[3]
    without = places_of(explanation_sheet(answers, shown(4, 28, 28, cam=False)))
    assert without is not None
    left, _, right, _ = without[answers[0].image_id][0]
    assert (right - left) * 3 == (boxes[answers[0].image_id][0][2] - lefts[0]) * 2


def test_what_speaks_for_the_answer_is_red_and_what_speaks_against_it_blue() -> None:
    """What says nothing is a pale grey of the picture."""
    attribution = np.zeros((4, 4))
    attribution[0], attribution[3] = 2.0, -2.0
    pixels = np.zeros((4, 4, 3), dtype=np.uint8)
    colours = coloured(pixels, attribution).astype(int)
    assert (colours[0, :, 0] > colours[0, :, 2] + 100).all()
    assert (colours[3, :, 2] > colours[3, :, 0] + 100).all()
    assert (np.ptp(colours[1], axis=1) == 0).all()
    assert 100 < colours[1, 0, 0] < 255


@pytest.mark.parametrize("attribution", [np.zeros((3, 3)), np.eye(3)[:, :1] * np.eye(3)[:1]])
def test_a_map_of_zeros_and_one_of_a_single_pixel_are_drawn(attribution: np.ndarray) -> None:
    """No division by the 0 that most of their pixels have."""
    colours = coloured(np.full((3, 3, 3), 200, dtype=np.uint8), attribution).astype(int)
    assert (colours[1:] == colours[1, 1]).all()
    assert (colours[0, 0, 0] > colours[0, 0, 2] + 100) == bool(attribution.any())


@pytest.mark.parametrize("count", [1, 20])
def test_the_chart_of_features_is_a_small_png(count: int) -> None:
    """One bar and twenty; a name that would be a broken formula is a name."""
    importance = [
        FeatureImportance(dimension=row, importance=1.0, share=0.5 / (1 + row), label="$tops^$")
        for row in range(count)
    ]
    png = importance_picture(importance)
    assert len(png) < 60_000
    assert min(opened(png).shape[:2]) >= 100
    assert places_of(png) == {}  # a chart shows no picture
