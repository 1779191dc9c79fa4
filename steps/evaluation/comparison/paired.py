"""Two models on the same rows: tests and intervals for the difference of their accuracies.

Of n rows, only those count in which one model is right and the other wrong. Everything here follows from
three counts: n, the rows that only the reference has right, and those that only the challenger has right. The
difference is the challenger's accuracy less the reference's. The counts may be arrays, so that thousands of
comparisons are made at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
HALVINGS = 60
"""Of the interval that a limit lies in: to the last digit of a double."""
NOTHING = 1e-12
"""A variance a row below which there is none but for rounding."""


def score(
    n: ArrayLike, only_reference: ArrayLike, only_challenger: ArrayLike, difference: ArrayLike
) -> Array:
    """The score statistic of a hypothesised difference (Tango 1998, Statistics in Medicine 17, 891–908).

    The variance is the one under the hypothesis, with the nuisance parameter at its most likely value: it is
    defined where the models never disagree, too. For a difference of 0 it is McNemar's statistic.

    Args:
        n: how many rows.
        only_reference: rows that only the reference has right.
        only_challenger: rows that only the challenger has right.
        difference: hypothesised, from -1 to 1.

    Returns:
        Standard normal under the hypothesis; positive: the challenger is better than that. Of the shape that
        the arguments have together; NaN where n is 0.

    Raises:
        ValueError: a count is negative, or more rows differ than there are.
    """
    n, lost, won, difference = np.broadcast_arrays(
        *(np.asarray(each, dtype=np.float64) for each in (n, only_reference, only_challenger, difference))
    )
    if (lost < 0).any() or (won < 0).any() or (lost + won > n).any():
        raise ValueError("Counts of discordant rows must not be negative, nor more than there are rows.")
    # q is the most likely share of rows that only the reference has right, a root of 2nq² + linear·q + rest.
    linear = (2 * n - won + lost) * difference - (lost + won)
    rest = -lost * difference * (1 - difference)
    with np.errstate(invalid="ignore", divide="ignore"):
        q = (np.sqrt(np.maximum(linear**2 - 8 * n * rest, 0)) - linear) / (4 * n)
        variance = 2 * q + difference * (1 - difference)
        excess = won - lost - n * difference
        certain = np.where(np.abs(excess) < np.sqrt(NOTHING), 0.0, np.sign(excess) * np.inf)
        z = np.where(variance > NOTHING, excess / np.sqrt(n * variance), certain)
    return np.where(n > 0, z, np.nan)


def inferiority_p(
    n: ArrayLike, only_reference: ArrayLike, only_challenger: ArrayLike, margin: ArrayLike
) -> Array:
    """The p-value of "the challenger is worse by the margin or more"; a small one excludes that."""
    from scipy.special import ndtr

    return np.asarray(ndtr(-score(n, only_reference, only_challenger, -np.asarray(margin))))


def harm_p(n: ArrayLike, only_reference: ArrayLike, only_challenger: ArrayLike, margin: ArrayLike) -> Array:
    """The p-value of "the challenger is worse by the margin at most"; a small one shows harm beyond it."""
    from scipy.special import ndtr

    return np.asarray(ndtr(score(n, only_reference, only_challenger, -np.asarray(margin))))


def interval(
    n: ArrayLike, only_reference: ArrayLike, only_challenger: ArrayLike, alpha: float
) -> tuple[Array, Array]:
    """Tango's score interval: the differences that neither one-sided test of level ``alpha`` excludes.

    Its lower bound is above -margin just where ``inferiority_p`` is below ``alpha``.

    Returns:
        Its lower and its upper bounds, of confidence 1 − 2 alpha; NaN where n is 0.
    """
    from scipy.special import ndtri

    n, lost, won = np.broadcast_arrays(
        *(np.asarray(each, dtype=np.float64) for each in (n, only_reference, only_challenger))
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        estimate = (won - lost) / n
    bounds = []
    for outer in (-1.0, 1.0):
        outside, inside = np.full_like(estimate, outer), estimate
        for _ in range(HALVINGS):
            middle = (outside + inside) / 2
            excluded = np.abs(score(n, lost, won, middle)) > -ndtri(alpha)
            outside, inside = np.where(excluded, middle, outside), np.where(excluded, inside, middle)
        bounds.append(np.where(n > 0, (outside + inside) / 2, np.nan))
    return bounds[0], bounds[1]


def holm(p: ArrayLike) -> Array:
    """Adjust p-values so that the chance of any false finding stays at the level (Holm 1979).

    Many families at once, which statsmodels' ``multipletests`` does not take; it also collects garbage at
    each call, 0.1 s and more.

    Args:
        p: ``(…, k)``, a family in each row; NaN is no member of it.

    Returns:
        The same shape, at most 1; NaN where it was.
    """
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, axis=-1)  # NaN comes last
    members = np.isfinite(p).sum(axis=-1, keepdims=True)
    stepped = np.take_along_axis(p, order, axis=-1) * (members - np.arange(p.shape[-1]))
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.minimum(np.maximum.accumulate(stepped, axis=-1), 1), axis=-1)
    return adjusted


def power_if_equal(n: int, discordant: int, margin: float, alpha: float) -> float:
    """How often a challenger that is exactly as good would pass, by the normal approximation.

    Args:
        n: how many rows, one at least.
        discordant: the rows that one model alone has right, of which half are the challenger's.
        margin: the loss that has to be excluded.
        alpha: the error rate of the test.
    """
    from scipy.special import ndtr, ndtri

    half = discordant / 2
    expected = float(score(n, half, half, -margin))
    deviation = np.sqrt(discordant) / (n * margin / expected)
    excess = expected + ndtri(alpha)
    return float(ndtr(excess / deviation)) if deviation > 0 else float(excess > 0)
