"""What is told of splits: counts, shares, the golden set, and of each picture set apart the reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from materializers.data_report import Check
from materializers.split_report import MergedGroup, PictureApart, SplitReport
from materializers.splits import APART, SIDES, SPLITS, TEXT, Splits
from steps.data.groups import groups_of

if TYPE_CHECKING:
    from steps.data.split import SplitSettings

By = Literal["groups", "time"]

LISTED_APART = 10_000
"""Pictures set apart that a report lists; the splits name all."""


def known_sides(index: pd.DataFrame, previous: Splits | None) -> npt.NDArray[np.int8]:
    """(n,) the position in ``SIDES`` of each picture that earlier splits placed, -1 for a new one."""
    if previous is None:
        return np.full(len(index), -1, dtype=np.int8)
    return previous.sides_of(index["image_id"])


def counts_of(index: pd.DataFrame, splits: Splits) -> pd.DataFrame:
    """Pictures per class (rows, by the dataset's labels) and side (columns).

    Args:
        index: the dataset's index, a row for each member of the splits, in their order.
        splits: each picture's side.
    """
    table = pd.crosstab(index["label"].to_numpy(dtype=object), splits.members["split"].to_numpy(dtype=object))
    return table.reindex(columns=list(SIDES), fill_value=0)


def report_unsplit(
    index: pd.DataFrame,
    version: str,
    previous: Splits | None,
    settings: SplitSettings,
    checks: Sequence[Check],
) -> SplitReport:
    """The report of a dataset that could not be split."""
    return SplitReport(
        outcome="refused",
        by=settings.by,
        data=version,
        splits=None,
        parent=previous.digest if previous else None,
        rows=len(index),
        checks=tuple(checks),
        counts={},
        configured_shares=settings.shares.model_dump(),
    )


def report_splits(
    index: pd.DataFrame,
    version: str,
    previous: Splits | None,
    settings: SplitSettings,
    splits: Splits,
    checks: Sequence[Check],
) -> SplitReport:
    """The report of these splits; refused when any check is.

    Args:
        index: the dataset's index, a row for each member of the splits, in their order.
        version: the dataset's version.
        previous: the splits that these grew from.
        settings: how they were made.
        splits: each picture's side.
        checks: what was found.
    """
    counts, known = counts_of(index, splits), known_sides(index, previous)
    sizes = counts.sum()
    used = max(int(sizes[list(SPLITS)].sum()), 1)
    apart, merged = _set_apart(index, splits, known)
    members = splits.members
    renamed = members["golden"] & (members["label"] != index["label"].astype(TEXT).reset_index(drop=True))
    return SplitReport(
        outcome="refused" if any(check.refuses for check in checks) else "passed",
        by=settings.by,
        data=version,
        splits=splits.digest,
        parent=splits.parent,
        rows=len(members),
        checks=tuple(checks),
        counts={str(label): {side: int(row[side]) for side in SIDES} for label, row in counts.iterrows()},
        configured_shares=settings.shares.model_dump(),
        shares={name: float(sizes[name]) / used for name in SPLITS},
        new=int((known < 0).sum()),
        set_apart=tuple(apart),
        set_apart_count=int(sizes[APART]),
        merged_groups=tuple(merged),
        golden=int(members["golden"].sum()),
        golden_away=int(splits.remembered["golden"].sum()),
        golden_relabelled=int(renamed.sum()),
    )


def _set_apart(
    index: pd.DataFrame, splits: Splits, known: npt.NDArray[np.int8]
) -> tuple[list[PictureApart], list[MergedGroup]]:
    """Why each picture is set apart, newly apart ones first, and the groups that met across splits."""
    sides = splits.members["split"].to_numpy(dtype=object)
    if not (sides == APART).any():
        return [], []
    frame = pd.DataFrame(
        {
            "image_id": index["image_id"].to_numpy(dtype=object),
            "label": index["label"].to_numpy(dtype=object),
            "group": groups_of(index).to_numpy(),
            "side": sides,
            "was": np.array([*SIDES, ""], dtype=object)[known],  # a new one, -1, has the last
        }
    )
    frame = frame[frame["group"].isin(frame.loc[frame["side"] == APART, "group"])]
    placed = frame[frame["side"] != APART]
    home = dict(zip(placed["group"], placed["side"], strict=True))
    apart = frame[frame["side"] == APART]
    moved = apart[apart["was"].isin(SPLITS)]
    merged = [
        MergedGroup(
            name=str(group),
            kept=home[group],
            set_apart={str(side): int(count) for side, count in rows["was"].value_counts().items()},
        )
        for group, rows in moved.groupby("group")
    ]
    known_groups = set(frame.loc[frame["was"] != "", "group"])
    listed = apart.assign(earlier=apart["was"] == APART).sort_values(["earlier", "group", "image_id"])
    pictures = [
        PictureApart(
            image_id=image_id,
            label=label,
            group=group,
            was=was if was in SPLITS else None,
            reason=_reason(was, home.get(group), new_group=group not in known_groups),
        )
        for image_id, label, group, was in listed[["image_id", "label", "group", "was"]]
        .head(LISTED_APART)
        .itertuples(index=False, name=None)
    ]
    return pictures, merged


def _reason(was: str, home: str | None, *, new_group: bool) -> str:
    """Why one picture is set apart."""
    if was == APART:
        return "Earlier splits set it apart, and it stays so."
    if was:
        return f"It was in {was} and belongs together with pictures in {home}."
    if home is not None:
        return f"Its group is in {home}, and it was taken at the time of another split."
    if new_group:
        return "Its group was taken on both sides of the time at which a split begins."
    return "All pictures of its group that earlier splits knew are set apart."
