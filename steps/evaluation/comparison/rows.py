"""The rows that two models are compared on: those that neither learnt from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from materializers.splits import SIDES, TEST, TRAIN, VALIDATION, Splits


@dataclass(frozen=True)
class FairRows:
    """Rows of a challenger's test split that the model before it did not learn from either.

    Args:
        image_ids: the n pictures, sorted.
        golden: ``(n,)``, whether a picture is of the frozen golden set.
        new: ``(n,)``, whether the model before it never had it in any split.
        left_out: test pictures that the model before it learnt from or was chosen by.
    """

    image_ids: tuple[str, ...]
    golden: NDArray[np.bool_]
    new: NDArray[np.bool_]
    left_out: int


def fair_rows(challenger: Splits, before: Splits | None) -> FairRows:
    """Take the challenger's test pictures that are on no training or validation side of the other model.

    A picture that the other model's splits only remember counts as learnt from when it was placed for that:
    to leave it out costs little, to compare on it by mistake favours the older model.

    Args:
        challenger: its splits.
        before: those of the model that it is compared with; None: it learnt from nothing, and nothing is new.
    """
    tested = challenger.members[challenger.members["split"] == TEST].sort_values("image_id")
    image_ids = tested["image_id"]
    if before is None:
        learnt = new = np.zeros(len(tested), dtype=bool)
    else:
        sides = before.sides_of(image_ids)
        learnt = np.isin(sides, [SIDES.index(TRAIN), SIDES.index(VALIDATION)])
        new = sides < 0
    fair = ~learnt
    return FairRows(
        image_ids=tuple(image_ids[fair]),
        golden=tested["golden"].to_numpy(dtype=bool)[fair],
        new=new[fair],
        left_out=int(np.count_nonzero(learnt)),
    )
