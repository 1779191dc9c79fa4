"""Find pictures that are to be erased by any of their digests, and keep a note of each before anything is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

from materializers.erasure import Forgotten, read_notes, write_note
from materializers.errors import UsageError
from materializers.image_dataset import ImageDataset, ImageDatasetMaterializer
from materializers.image_manifest import read_version
from materializers.quarantine import StoredBlobs, decoded, read_rows
from materializers.shards import held
from materializers.thumbnails import thumbnail
from materializers.traces import fingerprints, pixel_fingerprints
from steps.data.delivered_paths import ids_at_paths
from steps.data.erasing import shard_files, shard_pictures
from steps.data.searching import known_as, shard_at

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore

LISTED = 5


def take_notes(
    store: BaseArtifactStore, folders: list[str], quarantines: list[str], image_ids: Sequence[str]
) -> list[Forgotten]:
    """Keep a note of each picture that is to be erased, before anything is.

    Raises:
        UsageError: nobody knows such a picture, several begin like this, or were delivered under this path.
    """
    image_ids = ids_at_paths(store, folders, quarantines, image_ids)
    earlier = {note.name: note for note in read_notes(store)}
    names = _names(store, folders, quarantines, list(earlier.values()), image_ids)
    gathered = {name: _Gathered() for name in names}
    for note in (earlier[name] for name in names if name in earlier):
        gathered[note.name].add(note)
    known: dict[str, _Gathered] = {}
    while len(known) < len(
        found := _by_digest(gathered)
    ):  # what one place says of a picture leads to another
        known = found
        for digest, about in known.items():
            about.add_delivered(digest, StoredBlobs(store))
        for folder in folders:
            _gather_from(ImageDatasetMaterializer(folder, store).load(ImageDataset), known)
    _gather_from_shards(store, known)
    notes = [each.note(name) for name, each in gathered.items()]
    for note in notes:
        if note != earlier.get(note.name):
            write_note(store, note)
    return notes


@dataclass
class _Gathered:
    """What is known of one picture so far."""

    source_digests: set[str] = field(default_factory=set)
    marks: set[str] = field(default_factory=set)
    shards: set[str] = field(default_factory=set)
    plain: bool = False
    looked_at: set[str] = field(default_factory=set)
    """The ids under which its bytes in a dataset were had in this call."""
    delivered: set[str] = field(default_factory=set)
    """The digests under which its bytes in the quarantine were had in this call."""

    def add(self, note: Forgotten) -> None:
        """What an earlier call noted."""
        self.source_digests |= set(note.source_digests)
        self.marks |= set(note.marks)
        self.shards |= set(note.shards)
        self.plain |= note.plain

    def add_stored(self, image_id: str, data: bytes, orientation: int) -> None:
        """Take the fingerprints of the bytes in a dataset, and of their thumbnail."""
        self._mark_bytes(data)
        self._mark(pixel_fingerprints(thumbnail(data, orientation)))
        self.looked_at.add(image_id)

    def add_delivered(self, digest: str, blobs: StoredBlobs) -> None:
        """Take what is to be known of the bytes in the quarantine, if it has these and they were not had yet.

        That are their digest without metadata, their fingerprints, and those of their thumbnail where they
        decode.
        """
        if digest in self.delivered or (data := blobs.read(digest)) is None:
            return
        self.delivered.add(digest)
        self.source_digests |= known_as(data)
        self._mark_bytes(data)
        small = decoded(data)
        if small is not None:
            self._mark(pixel_fingerprints(small))

    def note(self, name: str) -> Forgotten:
        """All of it as it is kept."""
        return Forgotten(
            name=name,
            source_digests=tuple(sorted(self.source_digests)),
            marks=tuple(sorted(self.marks)),
            shards=tuple(sorted(self.shards)),
            plain=self.plain,
        )

    def _mark_bytes(self, data: bytes) -> None:
        marks = fingerprints(data)
        self.plain |= not marks
        self._mark(marks)

    def _mark(self, marks: Sequence[int]) -> None:
        self.marks |= {f"{mark:016x}" for mark in marks}


def _by_digest(gathered: dict[str, _Gathered]) -> dict[str, _Gathered]:
    """What is known of each picture, by every digest of it."""
    delivered = {digest: each for each in gathered.values() for digest in each.source_digests}
    return delivered | gathered


def _gather_from(dataset: ImageDataset, known: dict[str, _Gathered]) -> None:
    rows = dataset.index[dataset.index["image_id"].isin(list(known))]
    for row in rows.itertuples(index=False):
        image_id, about = str(row.image_id), known[str(row.image_id)]
        about.source_digests.add(str(row.source_digest))
        if pd.notna(row.unmasked_digest):
            about.source_digests.add(str(row.unmasked_digest))
        about.shards.add(str(row.shard))
        if image_id not in about.looked_at:
            (data,) = dataset.pictures([image_id])
            (orientation,) = dataset.orientations([image_id])
            about.add_stored(image_id, data, orientation)


def _gather_from_shards(store: BaseArtifactStore, known: dict[str, _Gathered]) -> None:
    """Find every shard that holds one of the pictures, also where no row leads, as after a compaction.

    Raises:
        DamagedArtifact: a shard cannot be read, so that nobody knows what it holds.
    """
    for place in shard_files(store):
        here = known.keys() & set(held(store, f"{store.path}/{place}"))
        for image_id in here:
            known[image_id].shards.add(str(shard_at(place)))
        if all(image_id in known[image_id].looked_at for image_id in here):
            continue
        for _, image_id, data in shard_pictures(store, [place]):
            if image_id in here and image_id not in known[image_id].looked_at:
                known[image_id].add_stored(image_id, bytes(data), orientation=1)


def _names(
    store: BaseArtifactStore,
    folders: list[str],
    quarantines: list[str],
    earlier: list[Forgotten],
    image_ids: Sequence[str],
) -> list[str]:
    """The name of each picture's note: its ``image_id``, or the delivered digest where no dataset has it."""
    known: dict[str, set[str]] = {image_id.strip().lower(): set() for image_id in image_ids}
    for folder in folders:
        _, index = read_version(store, folder)
        _add_beginning(known, index, "image_id")
        _add_beginning(known, index, "source_digest")
    for prefix, names in known.items():
        names.update(note.name for note in earlier if any(each.startswith(prefix) for each in note.digests))
    unknown = {prefix: names for prefix, names in known.items() if not names}
    for uri in quarantines if unknown else ():
        index = read_rows(store, uri).index
        _add_beginning(unknown, index.assign(image_id=index["source_digest"]), "source_digest")
    if not all(known.values()):
        places = (f"{store.path}/{place}" for place in shard_files(store))
        hidden = [image_id for place in places for image_id in held(store, place)]
        _add_beginning(unknown, pd.DataFrame({"image_id": hidden}, dtype="str"), "image_id")
    for prefix, names in known.items():
        _require_one(prefix, names)
    return list(dict.fromkeys(next(iter(names)) for names in known.values()))


def _add_beginning(known: dict[str, set[str]], index: pd.DataFrame, column: str) -> None:
    """Add the ids of the pictures of which a digest begins like one of these."""
    for prefix, names in known.items():
        begins = index[column].str.startswith(prefix).fillna(value=False).astype(bool)
        names.update(index.loc[begins, "image_id"])


def _require_one(prefix: str, names: set[str]) -> None:
    if not names:
        raise UsageError(
            f"No dataset and no quarantine of this store knows a picture {prefix}. Nothing was erased."
        )
    if len(names) > 1:
        shown = ", ".join(name[:20] for name in sorted(names)[:LISTED])
        raise UsageError(
            f"{len(names)} pictures begin with {prefix}: {shown}. Give more digits. Nothing was erased."
        )
