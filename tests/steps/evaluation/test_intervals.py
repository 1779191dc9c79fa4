"""Intervals that say how much a number of so many rows is worth."""

import numpy as np
import pytest

from steps.evaluation.intervals import WEIGHTS_AT_A_TIME, drawn_weights, wilson, with_interval


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


def test_of_no_row_there_is_no_share() -> None:
    """It is not 0."""
    assert wilson(0, 0).value is None
