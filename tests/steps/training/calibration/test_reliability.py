"""Bins of probability hold what is in them, and their gaps make the calibration error."""

import numpy as np
import pytest

from steps.training.calibration.reliability import BINS, bin_of, expected_calibration_error, reliability


def test_the_calibration_error_is_the_gap_of_each_bin() -> None:
    """Ten answers of 0.9 of which half are right, ten of 0.6 of which six are: 0.4 in half of them."""
    scores = np.array([[0.9, 0.1]] * 10 + [[0.6, 0.4]] * 10)
    labels = np.array([0] * 5 + [1] * 5 + [0] * 6 + [1] * 4)
    assert expected_calibration_error(scores, labels) == pytest.approx(0.2)
    assert expected_calibration_error(np.array([[1.0, 0.0]]), np.array([0])) == 0


def test_every_answer_is_in_one_bin() -> None:
    """A bound belongs to the bin above it, but for 1, which has none above."""
    assert bin_of(np.array([0.0, 1 / BINS, 0.999, 1.0])).tolist() == [0, 1, BINS - 1, BINS - 1]
    counts, sums, hits = reliability(np.array([[0.9, 0.1], [1.0, 0.0], [0.4, 0.6]]), np.array([0, 1, 1]))
    assert counts.tolist() == [0] * 9 + [1] + [0] * 3 + [1, 1]
    assert sums[[9, 13, 14]].tolist() == [0.6, 0.9, 1.0]
    assert hits[[9, 13, 14]].tolist() == [1, 1, 0]
