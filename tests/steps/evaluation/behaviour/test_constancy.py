"""The same pictures again: networks that were exported wrongly are found."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from steps.evaluation.behaviour.constancy import TOLERANCE, ask_again, compare
from tests.steps.evaluation.simple_networks import (
    BatchStatistics,
    DropoutLeftOn,
    Halves,
    both_halves,
    examined,
)


def test_a_network_in_order_answers_the_same_alone_twice_and_among_others(tmp_path: Path) -> None:
    """To the bit when asked twice, and within the tolerance in other batches."""
    model = examined(tmp_path, Halves(), both_halves(40))
    found = ask_again(model, np.arange(80), seed=0)
    assert found.twice.all()
    assert found.another_batch.all()
    assert found.largest_difference <= TOLERANCE


def test_a_network_that_still_draws_at_random_is_found(tmp_path: Path) -> None:
    """Every label is the same, and no probability is."""
    model = examined(tmp_path, DropoutLeftOn(), both_halves(5))
    assert not ask_again(model, np.arange(10), seed=0).twice.any()


def test_a_network_that_looks_at_the_rest_of_the_batch_is_found(tmp_path: Path) -> None:
    """It answers the same when asked twice alone, and something else among others."""
    model = examined(tmp_path, BatchStatistics(), both_halves(5))
    found = ask_again(model, np.arange(10), seed=0)
    assert found.twice.all()
    assert not found.another_batch.any()
    assert found.largest_difference > 0.1


def test_what_the_evaluation_measured_must_be_what_a_request_gets(tmp_path: Path) -> None:
    """Answers of the evaluation that are a thousandth off are not the same."""
    model = examined(tmp_path, Halves(), both_halves(5))
    off = dataclasses.replace(model, probabilities=model.probabilities + np.array([0.001, -0.001]))
    found = ask_again(off, np.arange(10), seed=0)
    assert found.twice.all()
    assert not found.another_batch.any()
    assert found.largest_difference == pytest.approx(0.001)


def test_another_label_within_the_tolerance_is_another_answer() -> None:
    """At a tie the last digit decides, and the customer reads the label."""
    first = np.array([[0.5 + 1e-7, 0.5 - 1e-7]])
    other = first[:, ::-1]
    assert compare(first, first, (other,)).another_batch.tolist() == [False]
    assert compare(first, first, (first,)).another_batch.tolist() == [True]


def test_no_answer_twice_is_not_the_same_answer() -> None:
    """A picture that is refused each time had an answer in the evaluation."""
    nothing = np.zeros((1, 2))
    found = compare(nothing, nothing, (nothing,))
    assert not found.twice.any()
    assert not found.another_batch.any()
