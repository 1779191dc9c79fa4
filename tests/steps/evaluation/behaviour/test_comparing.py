"""What a change did to the answers."""

import numpy as np
import pytest

from steps.evaluation.behaviour.comparing import drop, invariance, less_sure

BEFORE = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.51, 0.49]])
AFTER = np.array([[0.8, 0.2], [0.4, 0.6], [0.1, 0.9], [0.0, 0.0]])


def test_an_invariance_is_the_share_of_answers_that_stayed() -> None:
    """One changed and one was refused, of four; the probability moved by 0.1, 0.2, 0.1 and 0.51."""
    found = invariance("flip", BEFORE, AFTER)
    assert (found.transformation, found.kept.value, found.kept.n) == ("flip", 0.5, 4)
    assert found.probability_change.value == pytest.approx((0.1 + 0.2 + 0.1 + 0.51) / 4)


def test_a_cover_lowers_the_probability_of_what_was_answered() -> None:
    """Whatever the answer is afterwards."""
    assert less_sure(BEFORE[:3], AFTER[:3]).tolist() == [True, True, False]
    assert drop(BEFORE[:3], AFTER[:3]) == pytest.approx([0.1, 0.2, -0.1])


def test_an_answer_that_is_certain_to_the_last_digit_can_still_get_less_sure() -> None:
    """Both probabilities are 1 in float64; what is left to the other class is not the same."""
    sure, less = np.array([[1.0, 1e-30]]), np.array([[1.0, 1e-20]])
    assert less_sure(sure, less).tolist() == [True]
    assert less_sure(less, sure).tolist() == [False]
    assert less_sure(sure, sure).tolist() == [False]
