"""Join a delivery to the dataset that was there: new pictures, corrections, withdrawals, changed classes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import pandas as pd

from materializers.data_report import Corrections
from materializers.image_dataset import ImageDataset
from steps.data.files import inner_path
from steps.data.labels import Labels, Row


def join_delivery(
    parent: ImageDataset | None, delivery: ImageDataset, labels: Labels, source_name: str
) -> tuple[ImageDataset, Corrections]:
    """The dataset after a delivery, which wins over what was there.

    What it withdraws is taken out of the parent, so that a picture may be replaced by another under the same
    path; so is the original of a picture that it brings masked. What it corrects may be in the parent or in
    the delivery itself.

    Args:
        parent: what was there; None for a delivery that is taken alone.
        delivery: the delivery's usable pictures.
        labels: all its rows.
        source_name: of the delivery; a withdrawn ``image_path`` is one of this source, and may begin with its
            name, as the index has it.

    Raises:
        UsageError: a withdrawn path leads out of the delivery.
    """
    before = delivery.select(()) if parent is None else parent
    withdrawn, unknown = _withdrawn(before, labels.withdrawals, source_name)
    originals = set(delivery.index["unmasked_digest"].dropna()) & set(before.index["image_id"])
    joined = before.without(withdrawn | originals).join(delivery)
    known = set(joined.index["image_id"])
    corrections = [row for row in labels.corrections if row.image_id in known]
    unknown += [str(row.image_id) for row in labels.corrections if row.image_id not in known]
    corrected = joined.amend(_frame(corrections)) if corrections else joined
    difference = joined.diff(corrected)
    return corrected, Corrections(
        asked=len(labels.corrections) + len(labels.withdrawals),
        relabelled=len(difference.relabelled),
        amended=difference.changed["image_id"].nunique(),
        withdrawn=len(withdrawn),
        masked=len(originals - withdrawn),
        unknown=tuple(unknown),
    )


def with_classes(dataset: ImageDataset, renamed: Mapping[str, str], retired: Sequence[str]) -> ImageDataset:
    """The dataset under today's names of the classes, without the pictures of those that were retired."""
    named = dataset.rename_labels(renamed) if renamed else dataset
    gone = named.index.loc[named.index["label"].isin(list(retired)), "image_id"]
    return named.without(gone) if len(gone) else named


def _withdrawn(parent: ImageDataset, rows: Sequence[Row], source_name: str) -> tuple[set[str], list[str]]:
    """The parent's pictures that rows withdraw, and the names that it does not know."""
    if not rows:
        return set(), []
    ids = set(parent.index["image_id"])
    by_path = _by_path(parent, source_name)
    found: set[str] = set()
    unknown = []
    for row in rows:
        if row.image_id is not None:
            meant = {row.image_id} & ids
        else:
            path = inner_path(str(row.image_path), source_name)
            meant = by_path.get(path) or by_path.get(path.removeprefix(f"{source_name}/"), set())
        if not meant:
            unknown.append(str(row.image_id or row.image_path))
        found |= meant
    return found, unknown


def _by_path(parent: ImageDataset, source_name: str) -> dict[str, set[str]]:
    """The pictures of a source by the path under which they came; several may have come under one."""
    start = f"{source_name}/"
    of_source = parent.index.loc[parent.index["source"].str.startswith(start), ["source", "image_id"]]
    found = defaultdict(set)
    for source, image_id in of_source.itertuples(index=False, name=None):
        found[inner_path(str(source).removeprefix(start), source_name)].add(str(image_id))
    return found


def _frame(corrections: Sequence[Row]) -> pd.DataFrame:
    """One row a correction; a column that is not given is missing."""
    return pd.DataFrame([{"image_id": row.image_id, **row.given()} for row in corrections])
