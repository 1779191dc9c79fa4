"""A share, or a mean, of what was seen on n pictures, with its 95 % interval."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from materializers.evaluation.metric import Metric
from steps.evaluation.intervals import wilson

NORMAL_95 = 1.959964
"""Standard errors either way that hold 95 % of a normal distribution."""


def share_of(held: NDArray[np.bool_]) -> Metric:
    """The share of n cases in which something held, with Wilson's interval (Wilson 1927).

    Args:
        held: ``(n,)``; with no case there is no share.
    """
    return wilson(int(np.count_nonzero(held)), len(held))


def mean_of(values: NDArray[np.float64]) -> Metric:
    """The mean of n values with the interval of the central limit theorem; one value has none.

    Args:
        values: ``(n,)``, finite; without a value there is no mean.
    """
    n = len(values)
    if not n:
        return Metric(value=None, n=0)
    mean = float(values.mean())
    if n == 1:
        return Metric(value=mean, n=1)
    reach = NORMAL_95 * float(values.std(ddof=1)) / math.sqrt(n)
    return Metric(value=mean, low=mean - reach, high=mean + reach, n=n)
