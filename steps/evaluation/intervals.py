"""Intervals of 95 % around a measured number: from resampled rows, or from a count alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from materializers.evaluation.metric import Metric

Array = NDArray[np.float64]
INTERVAL = (2.5, 97.5)
"""Percentiles: the middle 95 % of the resamples."""
WEIGHTS_AT_A_TIME = 2_000_000
"""How many weights are held at once; 16 MB."""


def drawn_weights(n: int, *, resamples: int, seed: int) -> Iterator[Array]:
    """Draw bootstrap resamples of n rows, some at a time.

    Args:
        n: rows, n > 0.
        resamples: how many.
        seed: same seed, same resamples.

    Yields:
        ``(draws, n)`` float64: how often each resample drew each row. A row of it sums to n.
    """
    generator = np.random.default_rng(seed)
    at_a_time = max(1, WEIGHTS_AT_A_TIME // n)
    for start in range(0, resamples, at_a_time):
        draws = min(at_a_time, resamples - start)
        yield generator.multinomial(n, np.full(n, 1 / n), size=draws).astype(np.float64)


def with_interval(point: float, drawn: Array, n: int) -> Metric:
    """A point estimate with the percentiles of its resamples; what is not finite is None.

    Args:
        point: of the rows themselves.
        drawn: ``(resamples,)``; NaN where a resample does not define it.
        n: rows.
    """
    if not np.isfinite(point):
        return Metric(value=None, low=None, high=None, n=n)
    defined = drawn[np.isfinite(drawn)]
    if not len(defined):
        return Metric(value=point, low=None, high=None, n=n)
    low, high = np.percentile(defined, INTERVAL)
    return Metric(value=point, low=float(low), high=float(high), n=n)


def wilson(count: int, n: int) -> Metric:
    """A share with Wilson's score interval (1927), which also holds near 0 and 1 and for few rows.

    Args:
        count: rows that are meant, 0 to n.
        n: rows; of none there is no share.
    """
    from statsmodels.stats.proportion import proportion_confint

    if not n:
        return Metric(value=None, n=0)
    low, high = proportion_confint(count, n, alpha=0.05, method="wilson")
    return Metric(value=count / n, low=float(low), high=float(high), n=n)
