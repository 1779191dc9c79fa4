"""How far apart two samples' distributions are, with bounds that hold for any distribution and any size.

That of the samples differs from that of what they were drawn from by the sum of what each sample may be
off, by the triangle inequality.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


def kolmogorov(first: Floats, second: Floats) -> float:
    """The largest difference of two samples' distribution functions.

    Args:
        first: ``(n,)``, n > 0.
        second: ``(m,)``, m > 0.
    """
    first, second = np.sort(first), np.sort(second)
    places = np.concatenate([first, second])
    of_first = np.searchsorted(first, places, side="right") / len(first)
    of_second = np.searchsorted(second, places, side="right") / len(second)
    return float(np.abs(of_first - of_second).max())


def kolmogorov_reach(n: int, m: int, level: float) -> float:
    """By how much the samples' distance may be off from the true one, except in ``level`` of all cases.

    Of each sample by the inequality of Dvoretzky, Kiefer and Wolfowitz with Massart's constant (1990, Annals
    of Probability 18, 1269–1283), half the level each.
    """
    log = math.log(4 / level)
    return math.sqrt(log / (2 * n)) + math.sqrt(log / (2 * m))


def total_variation(first: Codes, second: Codes, classes: int) -> float:
    """Half the summed differences of two samples' class shares: the share that would have to change class.

    Args:
        first: ``(n,)``, numbers of classes, n > 0.
        second: ``(m,)``, m > 0.
        classes: how many there are.
    """
    shares = [np.bincount(each, minlength=classes) / len(each) for each in (first, second)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def total_variation_reach(n: int, m: int, classes: int, level: float) -> float:
    """By how much the samples' distance may be off from the true one, except in ``level`` of all cases.

    Of each sample by the inequality of Weissman et al. (2003, HP Labs HPL-2003-97), half the level each.
    """
    log = classes * math.log(2) + math.log(2 / level)
    return (math.sqrt(2 * log / n) + math.sqrt(2 * log / m)) / 2
