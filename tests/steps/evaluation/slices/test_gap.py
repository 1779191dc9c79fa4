"""How far groups are apart: what is noise is not significant, what is there is."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from statsmodels.stats.proportion import confint_proportions_2indep

from steps.evaluation.slices.gap import gap_metric, nearest_shares, p_value, variances

LIMIT = 0.10


def significant(accuracies: list[float], sizes: int | list[int], limit: float, simulations: int) -> float:
    """The share of simulated test sets whose gap is significantly beyond the limit."""
    of_each = np.broadcast_to(sizes, len(accuracies))
    drawn = np.random.default_rng(0).binomial(of_each, accuracies, size=(simulations, len(accuracies)))
    return float(np.mean([p_value(right, of_each, limit, resamples=500, seed=0) <= 0.025 for right in drawn]))


@pytest.mark.parametrize(("right", "sizes"), [((425, 325), (500, 500)), ((90, 150), (100, 200))])
def test_of_two_groups_the_bounds_are_those_of_a_difference(
    right: tuple[int, int], sizes: tuple[int, int]
) -> None:
    """The upper one is Newcombe's, the lower one close to his; the value and n are plain."""
    metric = gap_metric(np.array(right), np.array(sizes), resamples=4000, seed=0)
    low, high = confint_proportions_2indep(
        right[0], sizes[0], right[1], sizes[1], method="newcomb", compare="diff"
    )
    assert metric.value == pytest.approx(right[0] / sizes[0] - right[1] / sizes[1])
    assert metric.high == pytest.approx(high, abs=1e-9)
    assert metric.low == pytest.approx(low, abs=0.01)
    assert metric.n == min(sizes)


def test_the_lower_bound_is_where_the_test_stops_to_refuse() -> None:
    """A little below it the gap is significantly larger, a little above it is not."""
    right, sizes = np.array([460, 455, 380]), np.array([500, 500, 500])
    low = gap_metric(right, sizes, resamples=1000, seed=0).low
    assert low is not None
    assert p_value(right, sizes, low - 0.01, resamples=1000, seed=0) <= 0.025
    assert p_value(right, sizes, low + 0.01, resamples=1000, seed=0) > 0.025


@pytest.mark.parametrize("groups", [2, 3, 10])
def test_equal_groups_seldom_have_a_gap(groups: int) -> None:
    """Of ten equal groups of 100 the best and the worst are 11 points apart on average: that is noise."""
    assert significant([0.85] * groups, 100, 0.0, 200) <= 0.06
    assert significant([0.85] * groups, 100, LIMIT, 200) == 0


@pytest.mark.parametrize("groups", [2, 5, 10])
def test_a_gap_that_is_the_limit_is_seldom_beyond_it(groups: int) -> None:
    """Half of the groups above, half below: where most pairs could seem further apart than they are."""
    halves = [0.9] * (groups // 2) + [0.8] * (groups - groups // 2)
    assert significant(halves, 300, LIMIT, 200) <= 0.08


@pytest.mark.parametrize("accuracies", [[0.9, 0.7], [0.95, 0.85, 0.85, 0.85, 0.75], [0.9] * 9 + [0.7]])
def test_a_gap_of_twice_the_limit_is_found(accuracies: list[float]) -> None:
    """With 500 rows a group, in nine of ten test sets and more."""
    assert significant(accuracies, 500, LIMIT, 100) >= 0.9


def test_a_small_noisy_group_does_not_hide_what_large_ones_show() -> None:
    """The same gap between the large ones is found with it and without it."""
    assert significant([0.95, 0.75, 0.85], [500, 500, 50], LIMIT, 100) >= 0.9


def test_groups_that_are_always_right_have_no_gap() -> None:
    """And an upper bound: 50 of 50 is no proof."""
    metric = gap_metric(np.array([50, 50]), np.array([50, 50]), resamples=100, seed=0)
    assert (metric.value, metric.low) == (0, 0)
    assert metric.high is not None
    assert 0.05 < metric.high < 0.1


def test_a_gap_within_the_limit_is_no_evidence_against_it() -> None:
    """Nothing is drawn for it."""
    assert p_value(np.array([90, 85]), np.array([100, 100]), LIMIT, resamples=100, seed=0) == 1


def test_the_same_seed_gives_the_same_interval() -> None:
    """Another one, nearly the same."""
    right, sizes = np.array([460, 455, 380]), np.array([500, 500, 500])
    first, second = (gap_metric(right, sizes, resamples=1000, seed=0) for _ in range(2))
    other = gap_metric(right, sizes, resamples=1000, seed=1)
    assert first == second
    assert other.low == pytest.approx(first.low, abs=0.01)


@pytest.mark.parametrize("right", [[460, 300, 45], [495, 250, 25], [400, 350, 40]])
def test_the_shares_under_the_hypothesis_are_the_nearest(right: list[int]) -> None:
    """None of many others that are no further apart is nearer to the measured ones, certainty counted."""
    counts, sizes = np.array(right), np.array([500, 500, 50])

    def distance(shares: NDArray[np.float64]) -> NDArray[np.float64]:
        squares = (shares - counts / sizes) ** 2 / variances(counts, sizes)
        return np.asarray(squares.sum(axis=-1))

    found = nearest_shares(counts, sizes, LIMIT)
    assert np.ptp(found) <= LIMIT + 1e-9
    lowest = np.linspace(0, 1 - LIMIT, 500)[:, None]
    others = lowest + np.random.default_rng(0).uniform(0, LIMIT, (40, 500, 3))
    assert distance(found) <= distance(others).min() + 1e-9
