"""Two shares of two groups: whether one is beyond doubt larger by more, or by less, than so much.

Everything follows from four counts, which may be arrays, so that many comparisons are made at once.

The signed root of the likelihood ratio is used, because at an early look of a sequential test a level is a
millionth, and events are few: there a score or Wald test is wrong by powers of ten, while this keeps its
order of magnitude. ``tests/steps/deployment/observing/test_rates.py`` counts out how often it errs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
HALVINGS = 50
"""Of the interval that a limit lies in: to 1e-15."""


def worse_p(x1: ArrayLike, n1: ArrayLike, x2: ArrayLike, n2: ArrayLike, margin: ArrayLike) -> Array:
    """The p-value of "the first share is larger by the margin at most"; a small one shows that it is by more.

    Args:
        x1: events of the first group, the candidate.
        n1: its size.
        x2: events of the second group, the champion.
        n2: its size.
        margin: tolerated difference of the shares, from -1 to 1.

    Returns:
        Of the shape that the arguments have together; 1 where a group is empty.
    """
    from scipy.special import ndtr

    return np.asarray(ndtr(-signed_root(x1, n1, x2, n2, margin, side=1)))


def as_bad_p(x1: ArrayLike, n1: ArrayLike, x2: ArrayLike, n2: ArrayLike, margin: ArrayLike) -> Array:
    """The p-value of "the first share is larger by the margin at least"; a small one excludes that.

    Arguments and result as those of :func:`worse_p`.
    """
    from scipy.special import ndtr

    return np.asarray(ndtr(signed_root(x1, n1, x2, n2, margin, side=-1)))


def signed_root(
    x1: ArrayLike, n1: ArrayLike, x2: ArrayLike, n2: ArrayLike, margin: ArrayLike, *, side: int
) -> Array:
    """The signed root of the likelihood ratio of "the shares differ by just the margin".

    The first count is corrected for being whole, as Peizer and Pratt do (1968, Journal of the American
    Statistical Association 63, 1416–1456): by 2/3 − p/3 towards the middle, p the share of the events that
    are meant.

    Args:
        x1: events of the first group.
        n1: its size.
        x2: events of the second group.
        n2: its size.
        margin: of the shares.
        side: 1 where many events of the first group are the evidence, -1 where few are.

    Returns:
        About standard normal under the hypothesis; positive: the first share is larger than that. Where a
        group is empty, infinite on the side that is no evidence.
    """
    x1, n1, x2, n2, margin = np.broadcast_arrays(
        *(np.asarray(each, dtype=np.float64) for each in (x1, n1, x2, n2, margin))
    )
    empty = (n1 <= 0) | (n2 <= 0)
    size1, size2 = np.where(empty, 1.0, n1), np.where(empty, 1.0, n2)
    share1, share2 = likeliest(x1, size1, x2, size2, margin)
    correction = (2 - share1) / 3 if side < 0 else (1 + share1) / 3
    counted = np.clip(x1 - side * correction, 0, size1)
    # Again with the corrected count, so that the ratio is that of one table.
    share1, share2 = likeliest(counted, size1, x2, size2, margin)
    deviance = 2 * (_divergence(counted, size1, share1) + _divergence(x2, size2, share2))
    beyond = np.sign(counted / size1 - x2 / size2 - margin)
    return np.where(empty, -side * np.inf, beyond * np.sqrt(np.maximum(deviance, 0)))


def likeliest(x1: Array, n1: Array, x2: Array, n2: Array, margin: Array) -> tuple[Array, Array]:
    """The most likely shares whose difference is the margin.

    In closed form by Farrington & Manning (1990, Statistics in Medicine 9, 1447–1454).
    """
    p1, p2, ratio = x1 / n1, x2 / n2, n2 / n1
    a = 1 + ratio
    b = -(1 + ratio + p1 + ratio * p2 + margin * (ratio + 2))
    c = margin**2 + margin * (2 * p1 + ratio + 1) + p1 + ratio * p2
    d = -p1 * margin * (1 + margin)
    v = b**3 / (27 * a**3) - b * c / (6 * a**2) + d / (2 * a)
    u = np.where(v < 0, -1.0, 1.0) * np.sqrt(np.maximum(b**2 / (9 * a**2) - c / (3 * a), 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = np.where(u == 0, 0.0, v / u**3)
    w = (np.pi + np.arccos(np.clip(cosine, -1, 1))) / 3
    share1 = np.clip(2 * u * np.cos(w) - b / (3 * a), np.maximum(0, margin), np.minimum(1, 1 + margin))
    return share1, np.clip(share1 - margin, 0, 1)


def bounds(
    x1: ArrayLike, n1: ArrayLike, x2: ArrayLike, n2: ArrayLike, *, harm: float, level: float
) -> tuple[Array, Array]:
    """Between which differences of the shares the two tests leave doubt.

    The lower bound is above a margin just where :func:`worse_p` is below ``harm``, the upper one is below it
    just where :func:`as_bad_p` is below ``level``.

    Args:
        x1: events of the first group.
        n1: its size.
        x2: events of the second group.
        n2: its size.
        harm: the level of the one test.
        level: the level of the other.

    Returns:
        Lower and upper bounds; -1 and 1 where a group is empty.
    """
    x1, n1, x2, n2 = np.broadcast_arrays(*(np.asarray(each, dtype=np.float64) for each in (x1, n1, x2, n2)))
    found = []
    for of_p, limit, outer in ((worse_p, harm, -1.0), (as_bad_p, level, 1.0)):
        outside, inside = np.full(x1.shape, outer), np.full(x1.shape, -outer)
        for _ in range(HALVINGS):
            middle = (outside + inside) / 2
            excluded = of_p(x1, n1, x2, n2, middle) <= limit
            outside, inside = np.where(excluded, middle, outside), np.where(excluded, inside, middle)
        found.append((outside + inside) / 2)
    # Nothing is excluded: the whole range is left.
    empty = (n1 <= 0) | (n2 <= 0)
    return np.where(empty, -1.0, found[0]), np.where(empty, 1.0, found[1])


def _divergence(count: Array, n: Array, share: Array) -> Array:
    """The Kullback-Leibler divergence of a share from the one that was counted, of n."""
    from scipy.special import xlogy

    rest, other = n - count, 1 - share
    with np.errstate(divide="ignore", invalid="ignore"):
        events = np.where(count > 0, xlogy(count, count / (n * share)), 0.0)
        others = np.where(rest > 0, xlogy(rest, rest / (n * other)), 0.0)
    return np.asarray(events + others)
