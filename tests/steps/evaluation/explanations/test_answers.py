"""Which answers are explained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from steps.evaluation.evaluate import examine
from steps.evaluation.examined import Examined
from steps.evaluation.explanations.answers import explain_answers, shown_answers
from steps.evaluation.metrics import UNUSABLE
from steps.evaluation.settings import EvaluateSettings
from steps.evaluation.torch_network import load_network
from tests.steps.training.examples import dataset, splits, trained


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Examined:
    """A tiny classifier with its answers on twelve pictures."""
    pictures = dataset()
    classifier = trained(tmp_path_factory.mktemp("model"), epochs=2)
    return examine(classifier, pictures, splits(pictures), EvaluateSettings())


def answering(model: Examined, true: list[int], predicted: list[int], sure: list[float]) -> Examined:
    """The same with other answers, each this sure."""
    probabilities = np.full((len(true), 3), 0.01)
    probabilities[np.arange(len(true)), predicted] = sure
    return replace(model, true=np.array(true), predicted=np.array(predicted), probabilities=probabilities)


def test_right_answers_show_each_class_before_any_twice(model: Examined) -> None:
    """From those that were chosen alone."""
    given = answering(model, [0, 0, 0, 1, 2, 2], [0, 0, 0, 1, 2, 2], [0.9] * 6)
    assert shown_answers(given, np.array([0, 1, 3, 4]), 3).tolist() == [0, 3, 4]
    assert shown_answers(given, np.array([0, 1, 3, 4]), 9).tolist() == [0, 3, 4, 1]


def test_wrong_answers_are_the_ones_that_it_was_surest_of(model: Examined) -> None:
    """Of all test pictures, without those that have no answer; they come after the right ones."""
    given = answering(model, [0, 0, 1, 1, 2], [0, 1, 0, 2, UNUSABLE], [0.9, 0.5, 0.7, 0.6, 2.0])
    assert shown_answers(given, np.array([0]), 2).tolist() == [0, 2, 3]


def test_nothing_right_and_nothing_wrong_shows_nothing(model: Examined) -> None:
    """A model whose answers are all wrong shows wrong ones, and a perfect one right ones."""
    wrong = answering(model, [0, 1], [1, 0], [0.9, 0.8])
    assert shown_answers(wrong, np.array([0, 1]), 5).tolist() == [0, 1]
    assert shown_answers(wrong, np.array([0, 1]), 0).tolist() == []
    right = answering(model, [0, 1], [0, 1], [0.9, 0.8])
    assert shown_answers(right, np.array([0, 1]), 5).tolist() == [0, 1]


def test_some_of_the_answers_keep_what_is_theirs(model: Examined) -> None:
    """In the order in which they are asked for."""
    positions = np.array([1, 4, 7, 9])
    pixels, answered = model.pixels(positions), np.array([0, 1, 2, 1])
    whole = explain_answers(load_network(model.classifier), positions, pixels, answered, steps=2)
    some = whole.at(np.array([9, 4]))
    assert some.positions.tolist() == [9, 4]
    assert some.answered.tolist() == [1, 1]
    assert some.cam is not None
    assert whole.cam is not None
    for ours, theirs in (
        (some.pixels, whole.pixels),
        (some.gradients, whole.gradients),
        (some.cam, whole.cam),
    ):
        assert np.array_equal(ours, theirs[[3, 1]])
