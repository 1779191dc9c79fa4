"""Find pictures that are to be erased by any of their digests, and keep a note of each before anything is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from materializers.erasure import Forgotten, read_notes, write_note
from materializers.errors import DamagedArtifact, UsageError
from materializers.feature_cache import part_files, pictures_in
from materializers.image_dataset import ImageDataset, ImageDatasetMaterializer
from materializers.image_manifest import lost_shards, read_version
from materializers.quarantine import StoredBlobs, decoded, read_rows
from materializers.shards import held
from materializers.thumbnails import thumbnail
from materializers.traces import fingerprints, pixel_fingerprints
from serving.capture_layout import CAPTURES, PICTURE
from steps.data.delivered_paths import ids_at_paths
from steps.data.erasing import shard_files, shard_pictures
from steps.data.searching import known_as, shard_at
from steps.monitoring.traffic.captures import NAMES, capture_parts, read_part

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore

LISTED = 5
DIGESTS = ["image_id", "source_digest", "unmasked_digest"]
"""The columns by which a dataset knows a picture: as stored, as delivered, before a part of it was masked."""


def take_notes(
    store: BaseArtifactStore, folders: list[str], quarantines: list[str], image_ids: Sequence[str]
) -> list[Forgotten]:
    """Keep a note of each picture that is to be erased, before anything is.

    Raises:
        UsageError: nobody knows such a picture, several begin like this, or were delivered under this path.
    """
    image_ids = ids_at_paths(store, folders, quarantines, image_ids)
    earlier = {note.name: note for note in read_notes(store)}
    pictures = _pictures(store, folders, quarantines, list(earlier.values()), image_ids)
    gathered = {name: _Gathered(set(digests - {name})) for name, digests in pictures.items()}
    for name, digests in pictures.items():
        for known_as_well in digests & earlier.keys():
            gathered[name].add(earlier[known_as_well])
    known: dict[str, _Gathered] = {}
    while len(known) < len(
        found := _by_digest(gathered)
    ):  # what one place says of a picture leads to another
        known = found
        for digest, about in known.items():
            about.add_delivered(digest, StoredBlobs(store))
        for folder in folders:
            _gather_from(store, ImageDatasetMaterializer(folder, store).load(ImageDataset), known)
    _gather_from_shards(store, known)
    _gather_from_captures(store, known)
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


def _gather_from(store: BaseArtifactStore, dataset: ImageDataset, known: dict[str, _Gathered]) -> None:
    rows = dataset.index[dataset.index[DIGESTS].isin(list(known)).any(axis="columns")]
    lost = lost_shards(store, rows["shard"].unique()) if len(rows) else set()
    for row in rows.itertuples(index=False):
        image_id, digests = str(row.image_id), _digests_of(getattr(row, name) for name in DIGESTS)
        about = known[min(digests & known.keys())]
        about.source_digests |= digests
        about.shards.add(str(row.shard))
        if image_id not in about.looked_at and row.shard not in lost:
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


class _Captured(NamedTuple):
    """A captured picture: its digests, that without metadata first, its bytes where they were kept."""

    digests: tuple[str, ...]
    picture: bytes | None
    orientation: int


def _captured(store: BaseArtifactStore) -> Iterator[_Captured]:
    """Every picture that services captured; the search names a part that cannot be read."""
    for uri in capture_parts(store):
        with suppress(DamagedArtifact, FileNotFoundError):
            for row in read_part(store, uri, CAPTURES, [*NAMES, *PICTURE]).to_pylist():
                digests = tuple(row[name] for name in NAMES if row[name] is not None)
                if digests:
                    yield _Captured(digests, row["picture"], row["orientation"] or 1)


def _gather_from_captures(store: BaseArtifactStore, known: dict[str, _Gathered]) -> None:
    """Take what is to be known of the pictures that services captured."""
    for row in _captured(store):
        about = next((known[digest] for digest in row.digests if digest in known), None)
        if about is None:
            continue
        about.source_digests.update(row.digests)
        if row.picture is not None and row.digests[0] not in about.looked_at:
            about.add_stored(row.digests[0], row.picture, row.orientation)


class _Match(NamedTuple):
    """A row or a note that has a digest which begins like one that was given."""

    name: str
    digests: frozenset[str]
    noted: bool = False

    def begins(self, prefix: str) -> bool:
        """Whether one of its digests begins like this."""
        return any(digest.startswith(prefix) for digest in self.digests)


def _pictures(
    store: BaseArtifactStore,
    folders: list[str],
    quarantines: list[str],
    earlier: list[Forgotten],
    image_ids: Sequence[str],
) -> dict[str, frozenset[str]]:
    """The digests of each picture, by the name of its note.

    That is the name of an earlier note of it, else its ``image_id``, or the delivered digest where no dataset
    has it. What shares a digest is one picture, as before and after a part of it was masked.
    """
    prefixes = [image_id.strip().lower() for image_id in image_ids]
    notes = (_Match(note.name, note.digests, noted=True) for note in earlier)
    matches = {note for note in notes if any(map(note.begins, prefixes))}
    for folder in folders:
        matches |= _matches(prefixes, read_version(store, folder)[1][DIGESTS])
    if unknown := _unknown(prefixes, matches):
        for uri in quarantines:
            matches |= _matches(unknown, read_rows(store, uri).index[["source_digest"]])
    if unknown := _unknown(prefixes, matches):
        places = (f"{store.path}/{place}" for place in shard_files(store))
        hidden = [image_id for place in places for image_id in held(store, place)]
        hidden += [image_id for uri in part_files(store) for image_id in pictures_in(store, uri)]
        matches |= _matches(unknown, pd.DataFrame({"image_id": hidden}, dtype="str"))
    if unknown := _unknown(prefixes, matches):
        seen = {row.digests for row in _captured(store)}
        captured = {_Match(digests[0], frozenset(digests)) for digests in seen}
        matches |= {match for match in captured if any(map(match.begins, unknown))}
    pictures = _sharing_a_digest(matches)
    meant = (_only_one(prefix, pictures) for prefix in prefixes)
    return {_name_of(picture): frozenset().union(*(each.digests for each in picture)) for picture in meant}


def _matches(prefixes: Sequence[str], rows: pd.DataFrame) -> set[_Match]:
    """The rows of which a digest begins like one of these; they are named by the first column."""
    begins = [rows[column].str.startswith(tuple(prefixes)).fillna(value=False) for column in rows]
    found = rows[pd.concat(begins, axis="columns").astype(bool).any(axis="columns")]
    return {_Match(str(row[0]), _digests_of(row)) for row in found.itertuples(index=False, name=None)}


def _unknown(prefixes: Sequence[str], matches: Collection[_Match]) -> list[str]:
    return [prefix for prefix in prefixes if not any(match.begins(prefix) for match in matches)]


def _digests_of(values: Iterable[Any]) -> frozenset[str]:
    return frozenset(str(value) for value in values if pd.notna(value))


def _sharing_a_digest(matches: Iterable[_Match]) -> list[list[_Match]]:
    """Those together that share a digest: each is one picture."""
    pictures: list[list[_Match]] = []
    for match in matches:
        same = [each for each in pictures if any(match.digests & other.digests for other in each)]
        pictures = [each for each in pictures if each not in same]
        pictures.append([match, *chain.from_iterable(same)])
    return pictures


def _name_of(picture: list[_Match]) -> str:
    return min((not match.noted, match.name) for match in picture)[1]


def _only_one(prefix: str, pictures: list[list[_Match]]) -> list[_Match]:
    found = [picture for picture in pictures if any(match.begins(prefix) for match in picture)]
    if not found:
        raise UsageError(
            f"No dataset, no quarantine and no capture of this store knows a picture {prefix}. Nothing was "
            "erased."
        )
    if len(found) > 1:
        shown = ", ".join(name[:20] for name in sorted(map(_name_of, found))[:LISTED])
        raise UsageError(
            f"{len(found)} pictures begin with {prefix}: {shown}. Give more digits. Nothing was erased."
        )
    return found[0]
