"""Percentiles are values that were measured, and their intervals hold what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from steps.evaluation.cost.percentiles import percentile, rank


@pytest.mark.parametrize(
    ("n", "share", "place"), [(100, 0.99, 99), (1000, 0.99, 990), (101, 0.99, 100), (1, 0.99, 1), (7, 0.5, 4)]
)
def test_the_rank_is_the_smallest_that_covers_the_share(n: int, share: float, place: int) -> None:
    """99 of 100, and one more as soon as there are more than 100."""
    assert rank(n, share) == place


def test_the_interval_covers_the_true_percentile() -> None:
    """In 95 of 100 samples of 500, of a skewed distribution whose 99th percentile is known."""
    generator = np.random.default_rng(0)
    true = math.log(100)
    found = [percentile(generator.exponential(1.0, 500), 0.99) for _ in range(400)]
    covered = [
        each.low is not None and each.high is not None and each.low <= true <= each.high for each in found
    ]
    assert 0.92 <= np.mean(covered) <= 0.99


def test_an_end_that_the_sample_cannot_bound_is_open() -> None:
    """368 values bound the 99th percentile from above, 367 do not; nothing bounds that of three."""
    assert percentile(np.arange(367.0), 0.99).high is None
    assert percentile(np.arange(368.0), 0.99).high == 367
    few = percentile(np.arange(3.0), 0.5)
    assert (few.value, few.low, few.high) == (1, None, None)


def test_what_never_came_is_slower_than_anything_else() -> None:
    """One of a hundred failed requests leaves the percentile as it is, two make it undefined."""
    values = np.arange(100.0)
    values[0] = math.inf
    assert percentile(values, 0.99).value == 99
    values[1] = math.inf
    assert percentile(values, 0.99).value is None
    assert percentile(values, 0.5).value == 51
