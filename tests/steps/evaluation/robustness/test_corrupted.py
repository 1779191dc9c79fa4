"""Relative accuracies are of the same pictures, and their intervals are over pictures, not over cells."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from steps.evaluation.examined import Examined
from steps.evaluation.robustness.corrupted import (
    Cell,
    assess_corruptions,
    corrupted_answers,
    relative_accuracies,
)
from steps.evaluation.robustness.corruptions import corrupt, picture_seed
from steps.evaluation.robustness.settings import RobustnessSettings

TWO = RobustnessSettings(corruptions=("blur", "fog"), severities=(1, 5))
CELLS: tuple[Cell, ...] = (("blur", 1), ("blur", 5), ("fog", 1), ("fog", 5))


def first(count: int, n: int = 100) -> NDArray[np.bool_]:
    """The first pictures are answered rightly."""
    return np.arange(n) < count


def test_the_answers_are_what_serving_gives_for_the_corrupted_pictures(
    examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Picture by picture, whatever the batches are."""
    monkeypatch.setattr("steps.evaluation.robustness.corrupted.AT_A_TIME", 5)
    sample = np.arange(1, 12)
    clean, under = corrupted_answers(examined, sample, TWO)
    assert np.array_equal(clean, examined.predicted[sample])
    assert list(under) == list(CELLS)
    images = examined.pixels(sample)
    seeds = [picture_seed(examined.image_ids[position], TWO.seed) for position in sample]
    for (name, severity), answers in under.items():
        shown = corrupt(images, name, severity, seeds)
        assert np.array_equal(answers, examined.predictor.scores(shown)[0].argmax(axis=1))


def test_relative_accuracy_is_the_share_that_is_left() -> None:
    """Of 80 right answers 60, 40, 80 and 20 are left: 0.75, 0.5, 1 and 0.25, on average 0.625."""
    right = dict(zip(CELLS, map(first, (60, 40, 80, 20)), strict=True))
    total, (blur, fog) = assess_corruptions(first(80), right, TWO)
    assert total.value == pytest.approx(0.625)
    assert (blur.corruption, fog.corruption) == ("blur", "fog")
    assert blur.relative_accuracy.value == pytest.approx(0.625)
    assert [at.relative_accuracy.value for at in fog.severities] == pytest.approx([1.0, 0.25])
    assert [at.accuracy.value for at in fog.severities] == pytest.approx([0.8, 0.2])
    assert [at.severity for at in fog.severities] == [1, 5]
    assert total.n == fog.relative_accuracy.n == fog.severities[0].accuracy.n == 100


def test_the_interval_is_over_pictures() -> None:
    """Four cells that fail on the same pictures say no more than one: the mean's interval is as wide."""
    total, (blur, _) = assess_corruptions(first(80), dict.fromkeys(CELLS, first(40)), TWO)
    one = blur.severities[0].relative_accuracy
    assert [total.low, total.high] == pytest.approx([one.low, one.high])
    assert total.low is not None
    assert total.high is not None
    # Of 80 right answers each is left with 0.5: a deviation of √(0.25 / 80) = 0.056.
    assert total.high - total.low == pytest.approx(2 * 1.96 * 0.056, rel=0.15)


def test_what_a_picture_lost_is_compared_with_itself() -> None:
    """Where corruption changes no answer, the share is 1 in every resample, however many are right."""
    total, _ = assess_corruptions(first(50), dict.fromkeys(CELLS, first(50)), TWO)
    assert (total.low, total.value, total.high) == (1, 1, 1)


def test_without_a_right_answer_there_is_nothing_to_lose() -> None:
    """No number is made up for a share of nothing; the accuracies are there all the same."""
    total, (blur, _) = assess_corruptions(first(0), dict.fromkeys(CELLS, first(3)), TWO)
    assert (total.value, total.low, total.high) == (None, None, None)
    assert blur.severities[0].relative_accuracy.value is None
    assert blur.severities[0].accuracy.value == pytest.approx(0.03)


def test_each_resample_weighs_clean_and_corrupted_alike() -> None:
    """Weights (2, 0, 1): right twice of three clean, once of three corrupted."""
    weights = np.array([[2.0, 0.0, 1.0], [0.0, 3.0, 0.0]])
    found = relative_accuracies(weights, np.array([True, False, False]), np.array([[False, True, True]]))
    assert found[0, 0] == pytest.approx(0.5)
    assert np.isnan(found[1, 0])
