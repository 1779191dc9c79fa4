"""Split by time: the oldest pictures train, later ones validate, the newest test; groups stay whole.

Two times cut the pictures: validation begins at one, test at the other. Where earlier splits placed pictures,
the oldest known picture of a split is where it begins, so that a later picture goes where its time says and
nothing that trains is newer than what tests. What cannot be on one side of a cut is set apart.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]
Sides = npt.NDArray[np.int8]

TRAIN, VALIDATION, TEST, APART, NONE = 0, 1, 2, 3, -1
"""Positions in ``materializers.splits.SIDES``; -1: not placed yet."""
NEVER = np.iinfo(np.int64).max


def place_by_time(
    times: Numbers, groups: Numbers, sides: Sides, homes: Sides, shares: Mapping[str, float]
) -> Sides:
    """Give every picture that has no side yet the one that its time and its group's say.

    Args:
        times: (n,) when each picture was taken.
        groups: (n,) each picture's group, numbered from 0.
        sides: (n,) each picture's side, -1 for a new one.
        homes: (groups,) the side that each group is on, -1 for a new group.
        shares: fractions of ``train``, ``validation`` and ``test``, for cuts that no known picture sets.

    Returns:
        (n,) sides without -1. Set apart are the new pictures of a known group that were taken at another
        time than its split's, and new groups whose pictures lie on both sides of a cut.
    """
    cuts = _cuts(times, sides, shares)
    own = np.searchsorted(cuts, times, side="right").astype(np.int8)  # the split of each picture's time
    new = sides == NONE
    first, last = np.full(len(homes), TEST, np.int8), np.full(len(homes), TRAIN, np.int8)
    np.minimum.at(first, groups[new], own[new])
    np.maximum.at(last, groups[new], own[new])
    place = np.where(homes != NONE, homes, np.where(first == last, first, APART))[groups]
    return np.where(new, np.where(own == place, place, APART), sides).astype(np.int8)


def _cuts(times: Numbers, sides: Sides, shares: Mapping[str, float]) -> Numbers:
    """The times at which validation and test begin."""
    used = times[sides != APART]
    moments, counts = np.unique(used, return_counts=True)
    older = np.cumsum(counts) - counts

    def begins(side: int, share_before: float, after: int | None) -> int:
        known = times[sides == side]
        if len(known):
            return int(known.min())
        allowed = moments > (moments[0] if after is None else after) if len(moments) else moments > 0
        if not allowed.any():
            return NEVER
        distance = np.abs(older[allowed] - share_before * len(used))
        return int(moments[allowed][distance.argmin()])

    trained = times[sides == TRAIN]
    newest_trained = int(trained.max()) if len(trained) else None
    validation = begins(VALIDATION, shares["train"], newest_trained)
    floor = validation if newest_trained is None else max(validation, newest_trained)
    test = begins(TEST, shares["train"] + shares["validation"], floor)
    return np.array([min(validation, test), test], dtype=np.int64)
