"""No group, cluster or duplicate may be in two splits: a model would be tested on what it learnt.

These look at the splits as they are, column by column, and know nothing of the rule that made them. They
always refuse.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from materializers.data_report import Check
from materializers.report import counted
from materializers.splits import APART, TEST, TRAIN, Splits
from steps.data.checks.capture_times import capture_times
from steps.data.checks.judging import judged, not_assessed
from steps.data.checks.limits import CheckLimit, NeededLimit

MEND = (
    "Such splits are not used: take these pictures out of the delivery, or give the model another name "
    "(product.model), so that it is split anew."
)
SHOWN = 5
NONE = NeededLimit(limit=0)


def check_leakage(index: pd.DataFrame, splits: Splits) -> list[Check]:
    """Refuse splits in which a group, a near-duplicate cluster or an exact duplicate is on two sides.

    Args:
        index: one row a picture: ``image_id``, and where there are any ``group``, ``cluster`` and
            ``source_digest``.
        splits: each picture's side; ``set_apart`` is none.

    Returns:
        The checks ``group_leakage``, ``cluster_leakage`` and ``duplicate_leakage``. Without a column
        ``cluster`` nobody looked for near-duplicates, and that check is ``not_assessed``.
    """
    members = splits.members[splits.members["split"] != APART]
    sides = pd.factorize(members["split"])[0]
    places = pd.Index(index["image_id"]).get_indexer(pd.Index(members["image_id"]))
    known = places >= 0  # a picture that the index lacks has no group

    def column(name: str) -> pd.Series:
        return pd.Series(index[name].to_numpy(dtype=object)[places]).where(known)

    def leaking(name: str) -> list[str]:
        return _on_several_sides(column(name), sides) if name in index else []

    files = members["image_id"].astype(object).reset_index(drop=True)
    if "source_digest" in index:
        files = column("source_digest").fillna(files)
    return [
        _refused_if_any("group_leakage", leaking("group"), "Groups with pictures"),
        _refused_if_any("cluster_leakage", leaking("cluster"), "Clusters of near-duplicates with pictures")
        if "cluster" in index and ("phash" not in index or index["phash"].notna().any())
        else not_assessed(
            "cluster_leakage",
            CheckLimit(limit=0, severity="warn"),
            "No picture has a hash (they are under 64 pixels, or flat): only equal ones are found.",
        ),
        _refused_if_any(
            "duplicate_leakage", _on_several_sides(files, sides), "Pictures that are there twice,"
        ),
    ]


def check_time_leakage(index: pd.DataFrame, splits: Splits) -> Check:
    """Refuse splits in which a training picture is newer than the oldest test picture.

    Args:
        index: columns ``image_id`` and ``captured_at``, which every picture in a split has.
        splits: each picture's side.
    """
    sides = splits.members.set_index("image_id")["split"].reindex(index["image_id"]).to_numpy()
    times = capture_times(index)
    learnt, tested = times[sides == TRAIN], times[sides == TEST]
    oldest = tested.min()
    newer = int((learnt > oldest).sum()) if len(tested) else 0
    since = f", {oldest.isoformat()}" if len(tested) else ""
    reason = f"{counted(newer, 'training picture')} newer than the oldest test picture{since}; 0 may be."
    mend = (
        "What is in a split stays there: split by groups (split.by), or give the model another name "
        "(product.model), so that it is split anew."
    )
    return judged("time_leakage", newer, NONE, "at most", reason, mend)


def _on_several_sides(values: pd.Series, sides: npt.NDArray[np.intp]) -> list[str]:
    """The values that are on more than one side, sorted; a missing value belongs to nobody."""
    codes, names = pd.factorize(values)
    given = codes >= 0
    pairs = np.unique(np.stack([codes[given], sides[given]]), axis=1)
    several = np.flatnonzero(np.bincount(pairs[0], minlength=len(names)) > 1)
    return sorted(str(name) for name in names.take(several))


def _refused_if_any(name: str, found: list[str], what: str) -> Check:
    shown = f" ({', '.join(found[:SHOWN])})" if found else ""
    reason = f"{what} in more than one split: {len(found):,}{shown}; 0 may be."
    return judged(name, len(found), NONE, "at most", reason, MEND)
