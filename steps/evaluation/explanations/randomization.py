"""The weight randomisation test: an explanation of a network that learnt nothing must be another one.

After Adebayo et al., Sanity Checks for Saliency Maps (2018), where all weights are random. What is compared
is the order of the pixels, by which the deletion test goes. The order of the attributions' sizes is given
beside: for any two networks it agrees in part, since both multiply the gradient by how far a pixel is from
the missing one. On the demo's small_cnn the first is 0.01, the second 0.75. A random head alone gave from
−0.06 to 0.87, by its seed: on features that all grow with what is seen, it agrees or disagrees as a whole.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from steps.evaluation.explanations.attributions import Maps


def similarities(ours: Maps, theirs: Maps) -> NDArray[np.float64]:
    """Spearman's rank correlation of two maps of each picture.

    Args:
        ours: ``(n, height, width)``.
        theirs: the same.

    Returns:
        ``(m,)`` from −1 to 1, m ≤ n: a map that is the same everywhere has no order, and its picture is left
        out.
    """
    from scipy.stats import rankdata

    ranks = [rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (ours, theirs)]
    centred = [each - each.mean(axis=1, keepdims=True) for each in ranks]
    norms = [np.sqrt((each**2).sum(axis=1)) for each in centred]
    ordered = (norms[0] > 0) & (norms[1] > 0)
    products = (centred[0] * centred[1]).sum(axis=1)
    return np.asarray(products[ordered] / (norms[0] * norms[1])[ordered])
