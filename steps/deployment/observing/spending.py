"""At which looks a rollout may be decided, and how much of the error rate each may use.

Looking often at what accumulates finds a difference sooner or later where there is none. So the looks are
fixed beforehand, by how many requests the candidate has answered, and share the error rate out among them.
Their errors are added up (the union bound), so that nothing is assumed about how the tests of two looks
hang together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
EVENLY = 0.1
"""Of the error rate: spent in proportion to what is known, so that a candidate that always fails is out
after a few dozen requests; O'Brien and Fleming's spending leaves nothing for so early a look."""


def fractions(looks: int, first: float) -> Array:
    """What share of the planned requests there is at each look, each the same factor more than the last one.

    Args:
        looks: how many, at least two.
        first: the share at the first.

    Returns:
        ``(looks,)``, ascending, the last one 1.
    """
    return np.asarray(np.geomspace(first, 1.0, looks), dtype=np.float64)


def spent(fraction: ArrayLike, alpha: float) -> Array:
    """How much of ``alpha`` may be used up to a share of the information.

    Most of it by the spending function of O'Brien and Fleming's type, 2 − 2Φ(z / √t) (Lan & DeMets 1983,
    Biometrika 70, 659–663), which keeps nearly all of it for the end; ``EVENLY`` of it in proportion to t.

    Args:
        fraction: t, from 0 to 1; of any shape.
        alpha: the error rate of all looks together.
    """
    from scipy.special import ndtr, ndtri

    t = np.clip(np.asarray(fraction, dtype=np.float64), 0, 1)
    with np.errstate(divide="ignore"):
        late = 2 * ndtr(ndtri(alpha / 2) / np.sqrt(t))
    return np.asarray((1 - EVENLY) * late + EVENLY * alpha * t)


def levels(at: Sequence[float] | Array, alpha: float) -> Array:
    """The level of each look's own test; they sum to ``alpha`` where the last look is at the planned end."""
    return np.asarray(np.diff(spent(at, alpha), prepend=0.0))
