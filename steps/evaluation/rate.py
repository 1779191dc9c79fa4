"""A share of rows as a metric."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from materializers.evaluation.metric import Metric
from steps.evaluation.intervals import wilson


def rate(hits: NDArray[np.bool_]) -> Metric:
    """The share of ``hits`` ``(n,)`` that are true, with Wilson's 95 % interval.

    Without a row there is no share.
    """
    return wilson(int(np.count_nonzero(hits)), len(hits))
