"""Look at the pictures themselves: which look alike, which look odd, which labels are doubtful."""

from __future__ import annotations

import pandas as pd
from pydantic import Field

from materializers.data_report import Check, Screening, SuspiciousLabel
from materializers.image_dataset import ImageDataset
from materializers.report import Record
from steps.data.checks.appearance import AppearanceSettings, appearance
from steps.data.checks.duplicates import (
    DuplicateSettings,
    clusters_of_two_labels,
    exact_duplicates,
    near_duplicates,
    near_two_labels,
)
from steps.data.checks.suspicious_labels import SuspiciousLabelSettings, suspicious_labels
from steps.data.near_duplicates import find_clusters

USUAL = DuplicateSettings()
MOST_LISTED = 500
"""Groups and labels in a report; the index has all clusters."""


class PictureSettings(Record):
    """What is asked of the pictures."""

    duplicates: DuplicateSettings = DuplicateSettings()
    appearance: AppearanceSettings = AppearanceSettings()
    suspicious: SuspiciousLabelSettings = SuspiciousLabelSettings()


class Findings(Record):
    """What looking at the pictures found, on the way into the report."""

    checks: tuple[Check, ...] = ()
    near_duplicates: tuple[tuple[str, ...], ...] = ()
    suspicious_labels: tuple[SuspiciousLabel, ...] = ()
    quarantined: int = Field(default=0, ge=0)


def with_clusters(
    dataset: ImageDataset, previous: ImageDataset | None, settings: DuplicateSettings = USUAL
) -> ImageDataset:
    """The dataset whose index says which pictures are nearly the same.

    Args:
        dataset: measured pictures.
        previous: whose pictures were compared with each other before; what was found then stays.
        settings: how near two pictures have to be.
    """
    if dataset.index["phash"].isna().all():
        return dataset
    index, known = dataset.index, list[str]()
    if previous is not None:
        # A picture that was delivered again knows nothing of its cluster.
        before = previous.index.set_index("image_id")["cluster"]
        index = index.assign(cluster=index["cluster"].fillna(index["image_id"].map(before)))
        known = previous.index.loc[previous.index["phash"].notna(), "image_id"].tolist()
    found = find_clusters(
        index,
        dataset.pictures,
        known=known,
        max_distance=settings.hash_distance,
        max_difference=settings.thumbnail_difference,
    )
    return dataset.with_measures(pd.DataFrame({"image_id": dataset.index["image_id"], "cluster": found}))


def look_at(dataset: ImageDataset, screening: Screening, settings: PictureSettings) -> Findings:
    """Check a dataset that knows its clusters.

    Args:
        dataset: the accepted pictures.
        screening: what reading the delivery found.
        settings: the limits.
    """
    index = dataset.index
    doubt, doubted = suspicious_labels(index, dataset.pictures, settings.suspicious)
    return Findings(
        checks=(
            exact_duplicates(screening.duplicate_rows, screening.rows, settings.duplicates.exact_duplicates),
            near_duplicates(index, settings.duplicates.near_duplicates),
            near_two_labels(index, settings.duplicates.near_two_labels),
            *appearance(index, settings.appearance),
            doubt,
        ),
        near_duplicates=_groups(index),
        suspicious_labels=tuple(
            SuspiciousLabel.model_validate(row)
            for row in doubted[list(SuspiciousLabel.model_fields)].head(MOST_LISTED).to_dict("records")
        ),
    )


def _groups(index: pd.DataFrame) -> tuple[tuple[str, ...], ...]:
    """The clusters, those of two labels first, then the largest."""
    named = index.dropna(subset=["cluster"])
    mixed = set(clusters_of_two_labels(index)["cluster"]) if len(named) else set()
    groups = [(str(cluster), tuple(rows)) for cluster, rows in named.groupby("cluster")["image_id"]]
    groups.sort(key=lambda group: (group[0] not in mixed, -len(group[1]), group[0]))
    return tuple(members for _, members in groups[:MOST_LISTED])
