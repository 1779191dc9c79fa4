"""Intervals that say how much a number of so many rows is worth."""

import numpy as np
import pytest
from scipy.stats import binomtest

from steps.evaluation.intervals import (
    WEIGHTS_AT_A_TIME,
    drawn_weights,
    mean_of,
    share_of,
    wilson,
    with_interval,
)


def test_each_resample_draws_as_many_rows_as_there_are() -> None:
    """Rows are drawn with repetition; the mean row is drawn once."""
    weights = np.concatenate(list(drawn_weights(30, resamples=2000, seed=0)))
    assert weights.shape == (2000, 30)
    assert (weights.sum(axis=1) == 30).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(30), abs=0.1)
    assert weights.max() > 2


def test_many_rows_are_drawn_some_resamples_at_a_time() -> None:
    """All resamples come, and no part of them is larger than the limit."""
    parts = list(drawn_weights(300_000, resamples=10, seed=0))
    assert [len(part) for part in parts] == [6, 4]
    assert all(part.size <= WEIGHTS_AT_A_TIME for part in parts)


def test_the_same_seed_draws_the_same() -> None:
    """And another seed does not."""
    first, again, other = (next(drawn_weights(20, resamples=5, seed=seed)) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_resamples_that_define_nothing_are_left_out() -> None:
    """A number that is not defined has no interval, one without a defined resample has none either."""
    drawn = np.array([np.nan, 0.2, 0.4, np.nan])
    found = with_interval(0.3, drawn, 4)
    assert found.low is not None
    assert found.high is not None
    assert 0.2 <= found.low < found.high <= 0.4
    assert with_interval(float("nan"), drawn, 4).model_dump() == {
        "value": None,
        "low": None,
        "high": None,
        "n": 4,
    }
    assert with_interval(0.3, np.full(3, np.nan), 4).low is None


@pytest.mark.parametrize(
    ("count", "n", "low", "high"), [(0, 10, 0.0, 0.2775), (9, 10, 0.5958, 0.9821), (10, 10, 0.7225, 1.0)]
)
def test_wilsons_interval_is_the_one_of_the_tables(count: int, n: int, low: float, high: float) -> None:
    """Also where every row counts, and where none does."""
    found = wilson(count, n)
    assert (found.value, found.n) == (count / n, n)
    assert found.low == pytest.approx(low, abs=1e-4)
    assert found.high == pytest.approx(high, abs=1e-4)


@pytest.mark.parametrize(("right", "n"), [(0, 50), (37, 40), (50, 50), (240, 240), (80, 80)])
def test_the_interval_of_a_share_is_wilsons(right: int, n: int) -> None:
    """Also of none and of all, where rounding must not put the share outside."""
    metric = wilson(right, n)
    expected = binomtest(right, n).proportion_ci(method="wilson")
    assert (metric.value, metric.n) == (right / n, n)
    assert (metric.low or 0) <= right / n <= (metric.high or 0)
    assert metric.low == pytest.approx(expected.low, abs=1e-9)
    assert metric.high == pytest.approx(expected.high, abs=1e-9)


def test_of_no_row_there_is_no_share() -> None:
    """It is not 0."""
    assert wilson(0, 0).value is None


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_a_share_has_wilsons_interval(hits: int, n: int, low: float, high: float) -> None:
    """As it is printed in Newcombe 1998, "Two-sided confidence intervals for the single proportion"."""
    found = share_of(np.arange(n) < hits)
    assert (found.value, found.n) == (hits / n, n)
    assert [found.low, found.high] == pytest.approx([low, high], abs=5e-5)


def test_without_a_case_there_is_no_share() -> None:
    """Neither a number nor an interval is made up."""
    found = share_of(np.zeros(0, dtype=bool))
    assert (found.value, found.low, found.high, found.n) == (None, None, None, 0)


@pytest.mark.parametrize("n", [5, 30, 200])
def test_the_interval_of_a_mean_holds_it_as_often_as_it_says(n: int) -> None:
    """In 95 of 100 samples, more or less; of five values too, where normal ones do in 88."""
    generator = np.random.default_rng(1)
    found = [mean_of(generator.normal(2.0, 1.0, n)) for _ in range(4000)]
    held = [each.low is not None and each.high is not None and each.low <= 2.0 <= each.high for each in found]
    assert np.mean(held) == pytest.approx(0.95, abs=0.012)


def test_a_mean_of_one_value_has_no_interval_and_of_none_no_value() -> None:
    """What cannot be estimated is not."""
    assert mean_of(np.array([0.25])).model_dump() == {"value": 0.25, "low": None, "high": None, "n": 1}
    assert mean_of(np.zeros(0)).value is None
