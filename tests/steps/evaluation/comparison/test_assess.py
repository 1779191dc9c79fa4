"""Tests of steps/evaluation/comparison/assess.py: what is asked of older versions, and counted of them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from materializers.evidence import RegisteredVersion
from serving.predictor import PictureError, Prediction
from steps.data.class_changes import ClassChanges
from steps.evaluation.comparison.assess import judged_before, under_todays_names
from steps.evaluation.comparison.tested_rows import sample_of


def kept_of(first: int, last: int) -> str:
    """What is kept of these test pictures."""
    return sample_of([hashlib.sha256(str(number).encode()).hexdigest() for number in range(first, last)])


def version(number: int, model: str, **tags: str) -> RegisteredVersion:
    """A version that was judged."""
    known = {"model_digest": model, **tags}
    return RegisteredVersion(
        model_name="shop", version=number, created=datetime.now(UTC), aliases=(), tags=known
    )


def test_verdicts_on_a_test_set_that_grew_are_counted() -> None:
    """By ten pictures of 450; one of another test set is not, nor the model itself, nor one counted twice."""
    versions = [
        version(1, "a", test_rows=kept_of(0, 450)),
        version(2, "b", test_rows=kept_of(0, 460)),
        version(3, "b", test_rows=kept_of(0, 460)),
        version(4, "c", test_rows=kept_of(5000, 5450)),
        version(5, "d", test_rows=kept_of(0, 470)),
        version(6, "e"),
    ]
    assert judged_before(versions, kept_of(0, 470), "d") == 2
    assert judged_before(versions, kept_of(0, 470), "new") == 3
    assert judged_before(versions, kept_of(9000, 9450), "new") == 0


def test_an_older_version_answers_under_the_names_of_today() -> None:
    """A renamed class is the same, two that became one are one; a picture without an answer has none."""
    given = [Prediction(label, 1.0, {}, abstained=False) for label in ("bag", "purse", "dress", "hat")]
    changes = ClassChanges(renamed={"bag": "handbag", "purse": "handbag"}, retired=("hat",))
    answers = under_todays_names(
        [*given, PictureError("too_small", "")], ("bag", "dress", "hat", "purse"), changes
    )
    assert answers.predicted.tolist() == ["handbag", "handbag", "dress", "hat", None]
    assert answers.classes == ("handbag", "dress", "hat")
