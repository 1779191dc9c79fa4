"""Find the pictures that were delivered under a path, for whoever knows the file and not its id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from materializers.errors import UsageError
from materializers.image_manifest import read_version
from materializers.quarantine import read_rows
from steps.data.parent import PREFIX

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore

LISTED = 5
SOURCE_NAME = r"^[^/]*/"
"""What a dataset has in front of the path as delivered."""


def ids_at_paths(
    store: BaseArtifactStore, folders: Sequence[str], quarantines: Sequence[str], given: Sequence[str]
) -> list[str]:
    """Each id as it was given, and for each path the id of the one picture that was delivered under it.

    Args:
        store: where everything lies.
        folders: of the datasets.
        quarantines: their folders.
        given: ids or the beginnings of them, and paths as in ``labels.csv``, with the name of the source in
            front or not.

    Raises:
        UsageError: no picture was delivered under a path, or several were.
    """
    paths = [each for each in given if not PREFIX.fullmatch(each.strip().lower())]
    found: dict[str, dict[str, str]] = {path: {} for path in paths}
    delivered: set[str] = set()
    for folder in folders if paths else ():
        _, index = read_version(store, folder)
        for path, pictures in found.items():
            rows = index[_delivered_as(index["source"], path)]
            pictures.update(zip(rows["image_id"], rows["source"], strict=True))
            delivered.update(rows["source_digest"].dropna())
    for uri in quarantines if paths else ():
        index = read_rows(store, uri).index.dropna(subset=["source_digest"])
        index = index.assign(source=index["source"] + "/" + index["path"])
        for path, pictures in found.items():
            rows = index[_delivered_as(index["source"], path) & ~index["source_digest"].isin(list(delivered))]
            pictures.update(zip(rows["source_digest"], rows["source"], strict=True))
    return [_only(each, found[each]) if each in found else each for each in given]


def _delivered_as(sources: pd.Series, path: str) -> pd.Series:
    """Which pictures came under this path, with the name of their source in front or not."""
    same = (sources == path) | (sources.str.replace(SOURCE_NAME, "", regex=True) == path)
    return same.fillna(value=False).astype(bool)


def _only(path: str, pictures: dict[str, str]) -> str:
    if not pictures:
        raise UsageError(
            f"No dataset and no quarantine of this store has a picture {path!r}. Give its path as in "
            "labels.csv, such as images/a.jpg, or 8 to 64 hexadecimal digits of its id; a picture that was "
            "forgotten is known by its id alone. Nothing was erased."
        )
    if len(pictures) > 1:
        shown = ", ".join(f"{image_id[:20]} ({pictures[image_id]})" for image_id in sorted(pictures)[:LISTED])
        raise UsageError(
            f"{len(pictures)} pictures were delivered as {path!r}: {shown}. Give the id of the one that is "
            "meant, or of several. Nothing was erased."
        )
    return next(iter(pictures))
