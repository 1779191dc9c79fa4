"""A share of rows as a metric."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from materializers.evaluation.metric import Metric

OUTSIDE = 0.05


def rate(hits: NDArray[np.bool_]) -> Metric:
    """The share of ``hits`` ``(n,)`` that are true, with Wilson's 95 % interval (Wilson, 1927).

    Without a row there is no share.
    """
    from statsmodels.stats.proportion import proportion_confint

    n, count = len(hits), int(np.count_nonzero(hits))
    if not n:
        return Metric(value=None, n=0)
    low, high = proportion_confint(count, n, alpha=OUTSIDE, method="wilson")
    return Metric(value=count / n, low=float(low), high=float(high), n=n)
