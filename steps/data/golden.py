"""The golden set: pictures of the first test split that every later version is measured on, as they were.

It is frozen once. A picture that comes later never joins it, and a golden picture keeps the label that it
was frozen with. One that is withdrawn leaves it; delivered again, it is the same picture and golden again.
"""

import math
from collections.abc import Callable, Sequence

import pandas as pd

from materializers.data_report import Check
from materializers.splits import TEST, Splits
from steps.data.checks.judging import judged
from steps.data.checks.limits import CheckLimit

SHOWN = 5


def golden_members(
    members: pd.DataFrame,
    previous: Splits | None,
    *,
    share: float,
    chosen: Sequence[str],
    hashed: Callable[[str], bytes],
) -> pd.DataFrame:
    """Mark the golden pictures, and give them the label that they were frozen with.

    Args:
        members: one row a picture: ``image_id``, ``split``, ``label``.
        previous: the splits that these grow from; where they have a golden set, or had one, it stays.
        share: how much of each class's test pictures to freeze where there is no golden set yet, at least
            one.
        chosen: the pictures to freeze instead, of which those in the test split are golden.
        hashed: the digest of an id, by which a share is chosen.

    Returns:
        ``members`` with the column ``golden``.
    """
    frozen = None if previous is None else previous.frozen
    if frozen is not None and len(frozen):
        places = pd.Index(frozen["image_id"]).get_indexer(pd.Index(members["image_id"]))
        golden = (places >= 0) & (members["split"] == TEST).to_numpy(dtype=bool)
        label = members["label"].to_numpy(dtype=object)
        label[golden] = frozen["label"].to_numpy(dtype=object)[places[golden]]
        return members.assign(label=label, golden=golden)
    tested = members[members["split"] == TEST]
    if chosen:
        image_ids = set(tested["image_id"]) & set(chosen)
    else:
        image_ids = set()
        for _, rows in tested.groupby("label"):
            size = math.ceil(round(share * len(rows), 6))
            image_ids |= set(sorted(rows["image_id"], key=hashed)[:size])
    return members.assign(golden=members["image_id"].isin(image_ids).to_numpy(dtype=bool))


def check_golden_list(splits: Splits, previous: Splits | None, chosen: Sequence[str]) -> Check:
    """Whether every listed picture is golden. A golden set that was frozen before stays, and this warns."""
    missing = sorted(set(chosen) - set(splits.frozen["image_id"]))
    shown = f" ({', '.join(name[:12] for name in missing[:SHOWN])})" if missing else ""
    reason = f"{len(missing):,} pictures of split.golden_list are not golden{shown}; all have to be."
    later = previous is not None and len(previous.frozen) > 0
    mend = (
        "The golden set was frozen earlier, and none joins it: take them out of the list."
        if later
        else "The dataset lacks them or they are not for testing: take them out of the list."
    )
    bound = CheckLimit(limit=0, severity="warn" if later else "refuse")
    return judged("golden_list", len(missing), bound, "at most", reason, mend)
