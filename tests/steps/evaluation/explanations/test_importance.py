"""The dimensions of an embedding that answers rest on come first."""

import numpy as np
import pytest
import torch
from torch import nn

from steps.evaluation.explanations.importance import MOST_NAMED, contributions, rank_dimensions

CLASSES = ("bags", "tops")


def head() -> nn.Sequential:
    """Two layers with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return nn.Sequential(nn.Linear(30, 8), nn.ReLU(), nn.Linear(8, 2)).eval().requires_grad_(False)


def embeddings() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(12, 30)).astype(np.float32)


ANSWERED = np.arange(12) % 2


def test_contributions_sum_to_the_difference_from_the_mean_embedding() -> None:
    """Of the answered class's logit, for each picture."""
    given, explained = embeddings(), head()
    contributed = contributions(explained, given, ANSWERED, steps=200)
    logits = explained(torch.from_numpy(given)).numpy()[np.arange(12), ANSWERED]
    mean = explained(torch.from_numpy(given.mean(axis=0, keepdims=True))).numpy()[0, ANSWERED]
    assert contributed.shape == (12, 30)
    np.testing.assert_allclose(contributed.sum(axis=1), logits - mean, atol=0.01)


def test_the_dimension_that_decides_comes_first() -> None:
    """With the answer that it speaks for, and the whole share where no other is looked at."""
    linear = nn.Linear(30, 2, bias=False).requires_grad_(False)
    nn.init.zeros_(linear.weight)
    linear.weight[1, 17], linear.weight[0, 17] = 2.0, -2.0
    given = embeddings()
    answered = (given[:, 17] > given[:, 17].mean()).astype(np.int64)
    total, first = rank_dimensions(contributions(linear, given, answered, steps=4), answered, CLASSES)
    assert first[0].dimension == 17
    assert first[0].share == pytest.approx(1)
    assert first[0].importance == pytest.approx(total)
    assert total == pytest.approx(2 * np.abs(given[:, 17] - given[:, 17].mean()).mean(), rel=1e-4)


def test_the_most_important_ones_are_named_in_their_order() -> None:
    """Twenty of them, with their share of all."""
    contributed = np.random.default_rng(1).normal(size=(12, 30))
    total, first = rank_dimensions(contributed, ANSWERED, CLASSES)
    sizes = np.abs(contributed).mean(axis=0)
    assert total == pytest.approx(sizes.sum())
    assert [each.dimension for each in first] == np.argsort(-sizes)[:MOST_NAMED].tolist()
    assert [each.share for each in first] == pytest.approx(np.sort(sizes / sizes.sum())[::-1][:MOST_NAMED])


def test_a_dimension_is_named_with_the_answer_that_it_adds_most_to() -> None:
    """Not with the one that it speaks against."""
    contributed = np.where(ANSWERED[:, None] == 1, [[0.5, -3.0]], [[0.1, 1.0]])
    _, first = rank_dimensions(contributed, ANSWERED, CLASSES)
    assert [(each.dimension, each.label) for each in first] == [(1, "bags"), (0, "tops")]


def test_a_head_that_looks_at_nothing_has_no_important_dimension() -> None:
    """All shares are 0, none is not a number."""
    total, first = rank_dimensions(np.zeros((12, 3)), ANSWERED, CLASSES)
    assert total == 0
    assert [each.share for each in first] == [0, 0, 0]
