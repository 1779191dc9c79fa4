"""Say what one stored dataset version changed against another, with thumbnails."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd

from actions.result import ActionResult
from materializers.data_diff import LISTED, ChangedPicture, ClassDifference, DataDiff, Move
from materializers.image_dataset import THUMBNAILS_PER_CLASS, ImageDataset, thumbnail_sheet
from pipelines.data_diff import data_diff
from pipelines.showing import show_in_run
from steps.data.parent import find_dataset

if TYPE_CHECKING:
    from materializers.image_dataset import Difference

SHEETS = 60
"""Sheets of up to 12 thumbnails that a report has room for."""
FLAG = "--data-diff"


def compare_data(before: str, after: str) -> ActionResult:
    """Compare two stored versions, and keep the comparison for the dashboard.

    Args:
        before: digest of a version, or its beginning.
        after: the later one.

    Raises:
        UsageError: there is no such version, or several begin like this.
        DamagedArtifact: pictures that are shown cannot be read.
    """
    from zenml import save_artifact

    first, second = (find_dataset(version, flag=FLAG) for version in (before, after))
    report = difference_report(first, second)
    stored = save_artifact(report, name=data_diff.name)
    return ActionResult(
        action="data-diff",
        status="done",
        reasons=(
            f"{report.added:,} added, {report.withdrawn:,} withdrawn, {report.relabelled:,} relabelled: "
            f"{report.rows_before:,} pictures before, {report.rows_after:,} after.",
            f"Stored as artifact {data_diff.name}, version {stored.version}.",
            show_in_run(data_diff, stored),
        ),
        details={**report.model_dump(mode="json"), "digest": report.digest},
    )


def difference_report(before: ImageDataset, after: ImageDataset) -> DataDiff:
    """What ``after`` changed against ``before``, with a sheet of thumbnails a kind of change and class."""
    found = before.diff(after)
    changed = _changed(found)
    report = DataDiff(
        before=before.version,
        after=after.version,
        rows_before=len(before),
        rows_after=len(after),
        added=len(found.added),
        withdrawn=len(found.withdrawn),
        relabelled=len(found.relabelled),
        forgotten=len(found.forgotten),
        classes=tuple(_classes(before, after, changed)),
        moves=tuple(_moves(changed)),
        columns=_columns(found),
        pictures_named=tuple(_named(changed)),
    )
    return report.with_pictures(dict(_sheets(before, after, changed)))


def _changed(found: Difference) -> pd.DataFrame:
    """One row a changed picture: ``image_id``, ``change``, the label ``before`` and ``after``."""
    columns = ["image_id", "change", "before", "after"]
    parts = [
        found.added.assign(change="added", before=None, after=found.added["label"]),
        found.withdrawn.assign(change="withdrawn", before=found.withdrawn["label"], after=None),
        found.relabelled.rename(columns={"old_label": "before", "new_label": "after"}).assign(
            change="relabelled"
        ),
    ]
    frames = [part[columns].astype(object) for part in parts if len(part)]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)


def _classes(before: ImageDataset, after: ImageDataset, changed: pd.DataFrame) -> Iterator[ClassDifference]:
    counts = [dataset.index["label"].value_counts() for dataset in (before, after)]
    added, withdrawn, moved = (
        changed[changed["change"] == change] for change in ("added", "withdrawn", "relabelled")
    )
    for name in sorted(set(counts[0].index) | set(counts[1].index)):
        yield ClassDifference(
            name=str(name),
            before=int(counts[0].get(name, 0)),
            after=int(counts[1].get(name, 0)),
            added=int((added["after"] == name).sum()),
            withdrawn=int((withdrawn["before"] == name).sum()),
            relabelled_from=int((moved["before"] == name).sum()),
            relabelled_to=int((moved["after"] == name).sum()),
        )


def _moves(changed: pd.DataFrame) -> Iterator[Move]:
    moved = changed[changed["change"] == "relabelled"]
    pairs = Counter(zip(moved["before"], moved["after"], strict=True))
    for (before, after), count in sorted(pairs.items()):
        yield Move(before=str(before), after=str(after), pictures=count)


def _columns(found: Difference) -> dict[str, int]:
    """Pictures of which a column besides the label says something else, per column."""
    counts = found.changed["column"].value_counts() if len(found.changed) else pd.Series(dtype="int64")
    return {str(name): int(count) for name, count in sorted(counts.items())}


def _named(changed: pd.DataFrame) -> Iterator[ChangedPicture]:
    """The first pictures of each kind of change."""
    for row in changed.groupby("change", sort=False).head(LISTED).itertuples(index=False):
        yield ChangedPicture(image_id=row.image_id, change=row.change, before=row.before, after=row.after)


def _sheets(before: ImageDataset, after: ImageDataset, changed: pd.DataFrame) -> Iterator[tuple[str, bytes]]:
    """A sheet (PNG) of the first pictures of each kind of change and class, by a title."""
    # What was added has no label before: a group by that column alone would drop it.
    groups = changed.fillna("").groupby(["change", "before", "after"], sort=False)
    for number, ((change, old, new), rows) in enumerate(groups, 1):
        if number > SHEETS:
            return
        dataset = before if change == "withdrawn" else after
        title = f"{change} {old} to {new}" if change == "relabelled" else f"{change} {new or old}"
        ids = rows["image_id"].head(THUMBNAILS_PER_CLASS)
        name = re.sub(r"[^\w -]", "_", title)  # a title is a file's name too
        yield f"{number:02d} {name}", thumbnail_sheet(dataset.select(ids))
