"""Search every file below an artifact store's root for pictures: what an erasure is proven by.

A picture is known by its digests where something names it, and by fingerprints of its bytes and pixels where
nothing does. What cannot be looked into is counted and named: nobody takes it for searched.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from materializers.blobs import download_blob, is_on_disk
from materializers.drift_reference import REFERENCE_FILE, read_reference
from materializers.erasure import PassedOver
from materializers.errors import DamagedArtifact, UsageError
from materializers.feature_cache import FEATURES_FOLDER, names_one_of
from materializers.shards import SHARDS_FOLDER, digest_of_name, held, picture_digest
from materializers.store_files import DELIVERIES, StoredFile, relative, walk_files
from materializers.traces import Searched, finds, search_file
from serving.bad_picture import BadPicture
from serving.capture_layout import CAPTURES, is_part_name
from serving.strip_metadata import strip_metadata
from steps.data.archives import ArchiveSource
from steps.data.files import PARQUET_SUFFIX, Source, SourceLimits, Unreadable
from steps.data.labels import LABELS_FILE
from steps.data.sources import ARCHIVE_SUFFIXES, open_source
from steps.monitoring.traffic.captures import known_pictures
from steps.progress import progress

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore

OPENED = (*ARCHIVE_SUFFIXES, PARQUET_SUFFIX)
PACKED = (*OPENED, ".gz", ".bz2", ".xz", ".7z", ".rar")
"""What is not searched by reading it, where it lies inside an archive."""
LIMITS = SourceLimits(picture_bytes=100_000_000, unpacked_bytes=100_000_000_000)
"""Of a file in an archive, which is read into memory, and of all of them together."""


@dataclass(frozen=True)
class Found:
    """What reading every file of a store came to.

    Attributes:
        files: how many there are.
        size: their bytes.
        places: the paths, below the root, of those that hold or show one of the pictures.
        archives: how many of them were opened and searched picture by picture.
        passed_over: those with something in them that could not be looked into.
    """

    files: int
    size: int
    places: tuple[str, ...]
    archives: int = 0
    passed_over: tuple[PassedOver, ...] = ()


def search_store(store: BaseArtifactStore, marks: Collection[int], digests: Collection[str]) -> Found:
    """Read every file below the store's root, and search it for pictures.

    Args:
        store: where to look.
        marks: fingerprints of bytes and of thumbnails.
        digests: of the pictures.

    Raises:
        OSError: a file cannot be read, so that nothing is proven.
        DamagedArtifact: a shard or a drift reference cannot be read: nobody knows what it holds.
    """
    files = list(walk_files(store, str(store.path)))
    places, passed_over, archives = list[str](), list[PassedOver](), 0
    with progress("search", len(files)) as meter:
        for file in files:
            meter.advance()
            place = relative(store, file.uri)
            packed = place.startswith(f"{DELIVERIES}/") and place.lower().endswith(OPENED)
            try:
                searched = search_file(store, file.uri, marks, digests)
                if packed and not searched.found:
                    archives += 1
                    searched = search_delivery(store, file, marks, digests)
                elif not searched.found and place.startswith(f"{CAPTURES}/"):
                    searched = _search_captures(store, file.uri, digests)
                elif not searched.found:
                    searched = replace(searched, found=_names_one_of(store, file.uri, place, digests))
            except FileNotFoundError:  # gone since it was listed
                continue
            if searched.found:
                places.append(place)
            if why := searched.passed_over:
                passed_over.append(PassedOver(place=place, number=len(why), why=why[0]))
        meter.note(f"{len(places):,} of {len(files):,} files hold or show one")
    size = sum(file.size for file in files)
    return Found(len(files), size, tuple(places), archives, tuple(passed_over))


def _names_one_of(store: BaseArtifactStore, uri: str, place: str, digests: Collection[str]) -> bool:
    """Whether a shard, cached features or a drift reference say that they have something of these pictures.

    What was made of a picture shows nothing that a fingerprint knows: it says whose it is.
    """
    if place.startswith(f"{FEATURES_FOLDER}/"):
        return names_one_of(store, uri, digests)
    named: Collection[str] = ()
    if shard_at(place) is not None:
        named = held(store, uri)
    elif place.rpartition("/")[2] == REFERENCE_FILE:
        named = read_reference(store, uri).rows["image_id"]
    return not set(named).isdisjoint(digests)


def _search_captures(store: BaseArtifactStore, uri: str, digests: Collection[str]) -> Searched:
    """Look whether a part of captures says that something in it is of these pictures."""
    if not is_part_name(uri.rpartition("/")[2]):
        return Searched(False)
    try:
        known = known_pictures(store, uri)
    except DamagedArtifact as error:
        return Searched(False, (str(error),))
    return Searched(any(not set(digests).isdisjoint(named) for named in known))


def search_delivery(
    store: BaseArtifactStore, file: StoredFile, marks: Collection[int], digests: Collection[str]
) -> Searched:
    """Open an archive, or a table, that was brought to a store, and search it picture by picture.

    Args:
        store: where it lies.
        file: the archive.
        marks: fingerprints of the pictures.
        digests: of the pictures.

    Raises:
        OSError: it cannot be read.
    """
    if file.size > LIMITS.unpacked_bytes:
        return Searched(False, (f"it has {file.size:,} bytes, and the limit is {LIMITS.unpacked_bytes:,}",))
    try:
        with _on_this_machine(store, file.uri) as path, open_source(str(path), LIMITS) as source:
            return _search_source(source, marks, digests)
    except UsageError as error:
        return Searched(False, (str(error),))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return Searched(False, (f"this machine has no room to unpack it ({error.strerror})",))


def is_one_of(data: bytes, marks: Collection[int], digests: Collection[str]) -> bool:
    """Whether this is one of the pictures, as it was delivered or with other metadata, or has it inside."""
    return not known_as(data).isdisjoint(digests) or finds(data, marks)


def known_as(data: bytes) -> set[str]:
    """The digests of a picture: of its bytes as delivered, and without metadata where they can be cut out."""
    digests = {picture_digest(data)}
    with suppress(BadPicture):
        digests.add(picture_digest(strip_metadata(data).data))
    return digests


def shard_at(place: str) -> str | None:
    """The digest of the shard that lies there, below the root; None where there is none."""
    folder, _, name = place.rpartition("/")
    return digest_of_name(name) if folder == SHARDS_FOLDER else None


def _search_source(source: Source, marks: Collection[int], digests: Collection[str]) -> Searched:
    passed_over = list[str]()
    for path, read in _files_of(source):
        try:
            if is_one_of(read(), marks, digests):
                return Searched(True, tuple(passed_over))
        except Unreadable as error:
            passed_over.append(f"{path}: {error}")
    return Searched(False, tuple(passed_over))


def _files_of(source: Source) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """All that is in an archive or a table, with how to read it, not only what the delivery has of it."""
    from steps.data.parquet_source import ParquetSource

    files, tables = (source.files, source.names) if isinstance(source, ParquetSource) else (source, ())
    if isinstance(source, ParquetSource):
        yield from ((path, partial(source.read, path)) for path in source.pictures())
    if not isinstance(files, ArchiveSource):
        return
    for path, read in files.every_file(but=tables):
        if path.rpartition("/")[2] != LABELS_FILE:
            yield path, _packed if path.lower().endswith(PACKED) else read


def _packed() -> bytes:
    raise Unreadable("packed", "what is packed inside an archive is not unpacked")


@contextmanager
def _on_this_machine(store: BaseArtifactStore, uri: str) -> Iterator[Path]:
    """A file of a store as one of this machine; of a bucket a copy, for as long as it is used."""
    if is_on_disk(uri):
        yield Path(uri)
        return
    with tempfile.TemporaryDirectory(prefix="shutterline-search-") as folder:
        path = Path(folder) / uri.rpartition("/")[2]
        download_blob(store, uri, path)
        yield path
