"""Check how often a picture comes twice: to the byte, or nearly; and whether its labels agree."""

import pandas as pd
from pydantic import Field

from materializers.data_report import Check
from materializers.report import Record, counted
from steps.data.checks.judging import judged, not_assessed
from steps.data.checks.limits import CheckLimit
from steps.data.near_duplicates import MAX_DIFFERENCE, MAX_DISTANCE

NAMED = 5
FARTHEST = 10
"""Bits of 64; beyond it most pairs of 100,000 different pictures would be proposed."""


class DuplicateSettings(Record):
    """What counts as the same picture, and how much may come twice."""

    hash_distance: int = Field(default=MAX_DISTANCE, ge=0, le=FARTHEST)
    """Bits of 64 in which the perceptual hashes of near-duplicates may differ."""
    thumbnail_difference: float = Field(default=MAX_DIFFERENCE, ge=0, le=255, allow_inf_nan=False)
    """Mean difference of their thumbnails, in levels of 0 to 255."""
    exact_duplicates: CheckLimit = CheckLimit(limit=0.05, severity="warn")
    """Share of a delivery's rows that repeat a picture and its label."""
    near_duplicates: CheckLimit = CheckLimit(limit=0.05, severity="warn")
    """Share of the pictures that another one already shows."""
    near_two_labels: CheckLimit = CheckLimit(limit=0, severity="warn")
    """Clusters of near-duplicates with more than one label."""


def exact_duplicates(duplicate_rows: int, rows: int, bound: CheckLimit) -> Check:
    """The share of a delivery's rows that repeat a picture, to the byte, with the same label.

    Args:
        duplicate_rows: rows that repeat an earlier one.
        rows: of the delivery.
        bound: the share that may.
    """
    if not rows:
        return not_assessed("exact_duplicates", bound, "The delivery has no rows.")
    share = duplicate_rows / rows
    reason = (
        f"Rows that repeat a picture and its label: {duplicate_rows:,} of {rows:,}, {share:.1%}; "
        f"at most {bound.limit:.1%} may. They count once."
    )
    return judged("exact_duplicates", share, bound, "at most", reason, "Remove them from the delivery.")


def near_duplicates(index: pd.DataFrame, bound: CheckLimit) -> Check:
    """The share of pictures that only repeat what another one of their cluster shows.

    Args:
        index: one row a picture; columns ``phash`` and ``cluster``.
        bound: the share that may.
    """
    hashed = int(index["phash"].notna().sum()) if "cluster" in index else 0
    if not hashed:
        reason = (
            f"None of the {len(index):,} pictures has a perceptual hash (they are under 64 pixels, flat, or "
            "were not measured): only exact duplicates are found."
        )
        return not_assessed("near_duplicates", bound, reason)
    clusters = index["cluster"].dropna()
    repeated = len(clusters) - clusters.nunique()
    share = repeated / len(index)
    reason = (
        f"Pictures that nearly repeat another one: {repeated:,}, in "
        f"{counted(clusters.nunique(), 'cluster')}, {share:.1%}; "
        f"at most {bound.limit:.1%} may. A cluster stays in one split."
    )
    mend = "Look at them side by side, and withdraw what is too much."
    return judged("near_duplicates", share, bound, "at most", reason, mend)


def near_two_labels(index: pd.DataFrame, bound: CheckLimit) -> Check:
    """The clusters of near-duplicates whose pictures have more than one label.

    Args:
        index: one row a picture; columns ``image_id``, ``label``, ``phash`` and ``cluster``.
        bound: how many may.
    """
    if "cluster" not in index or not index["phash"].notna().any():
        reason = "No picture has a perceptual hash, so that nothing is known of near-duplicates."
        return not_assessed("near_two_labels", bound, reason)
    mixed = clusters_of_two_labels(index)
    named = "; ".join(
        " and ".join(rows["image_id"].str[:12] + " " + rows["label"].astype(str))
        for _, rows in list(mixed.groupby("cluster"))[:NAMED]
    )
    shown = f" ({named})" if named else ""
    found = mixed["cluster"].nunique()
    reason = f"{counted(found, 'cluster')} of pictures that look the same, with more than one label{shown}."
    return judged("near_two_labels", found, bound, "at most", reason, "Look at them, and correct the label.")


def clusters_of_two_labels(index: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``index`` whose cluster has pictures of more than one label."""
    named = index.dropna(subset=["cluster"])
    return named[named.groupby("cluster")["label"].transform("nunique") > 1]
