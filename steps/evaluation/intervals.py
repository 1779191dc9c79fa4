"""Intervals of 95 % around a measured number: of a share, of a mean, or from resampled rows."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from materializers.evaluation.metric import Metric

Array = NDArray[np.float64]
ALPHA = 0.05
"""Of every interval: it misses what is true in so many of 100, half of them on either side."""
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
    low, high = np.quantile(defined, (ALPHA / 2, 1 - ALPHA / 2))
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
    low, high = proportion_confint(count, n, alpha=ALPHA, method="wilson")
    share = count / n
    # Of a share of 0 or 1 the bound that it is itself differs from it by a rounding.
    return Metric(value=share, low=min(float(low), share), high=max(float(high), share), n=n)


def share_of(held: NDArray[np.bool_]) -> Metric:
    """The share of n cases in which something held, with Wilson's interval.

    Args:
        held: ``(n,)``; with no case there is no share.
    """
    return wilson(int(np.count_nonzero(held)), len(held))


def mean_of(values: Array) -> Metric:
    """The mean of n values with Student's interval (1908), which also allows for n being small.

    Args:
        values: ``(n,)``, finite; of no value there is no mean, of one no interval.
    """
    from scipy.stats import t

    n = len(values)
    if not n:
        return Metric(value=None, n=0)
    mean = float(values.mean())
    if n == 1:
        return Metric(value=mean, n=1)
    reach = float(t.ppf(1 - ALPHA / 2, n - 1) * values.std(ddof=1)) / math.sqrt(n)
    return Metric(value=mean, low=mean - reach, high=mean + reach, n=n)
