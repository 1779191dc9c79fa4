"""Features that a frozen backbone made of pictures, computed once and kept in Arrow files.

A folder holds what was computed in one way, a part in it the features of some pictures, named by the digest
of its bytes. Nothing lists the parts and none ever changes, so that processes which write at once lose
nothing, and whoever is killed leaves whole parts alone. Whatever is lost is only computed again.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from blake3 import blake3
from numpy.typing import NDArray
from pydantic import Field

from materializers.blobs import list_folder, read_blob, write_blob
from materializers.errors import DamagedArtifact, NoRoom, ServiceUnreachable
from materializers.report import Record
from materializers.store_files import read_overlapping, remove_file, stored_file, walk_files

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore

logger = logging.getLogger("shutterline")

FEATURES_FOLDER = "features"
"""Below the artifact store's root; all models share it."""
KEY_FILE = "key.json"
PART_SUFFIX = ".arrow"
FULL_BYTES = 64 * 2**20
"""Of a part that is packed of smaller ones; what is less than half as large is one of these."""
MANY = 16
"""Small parts up to which they stay as they are."""
AT_ONCE = 4
"""Parts that are read at the same time, each by one request."""
USED_AGAIN = timedelta(days=1)
"""How old the description of a folder may become before a use makes it young again."""


class FeatureRow(NamedTuple):
    """A picture as it is shown: ``orientation`` is 1 to 8, as EXIF numbers it."""

    image_id: str
    orientation: int


class FeatureKey(Record):
    """What features follow from, beside the picture: another backbone, resize or runtime gives others."""

    format_version: Literal[1] = 1
    backbone: str
    """The digest of its weights and of the normalisation before it."""
    preprocessing: dict[str, int | str]
    """How a picture is decoded and resized, the version of that among it."""
    runtime: str
    """What computes them and decodes pictures, with versions, and the processor family, whose last digits
    differ."""
    length: int = Field(ge=1)
    """Of one picture's features."""


@dataclass(frozen=True)
class _Part:
    rows: list[FeatureRow]
    features: NDArray[np.float32]


class FeatureCache:
    """The features that an artifact store keeps, on disk or in a bucket.

    Args:
        store: under its root, in ``features/<digest of the key>/``.
    """

    def __init__(self, store: BaseArtifactStore) -> None:
        self._store = store
        self._root = features_folder(store)

    def read(
        self, key: FeatureKey, rows: Sequence[FeatureRow]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """What is kept of some pictures, a part after another; a few parts are in memory.

        A part whose bytes do not have its digest is named in a warning and removed.

        Args:
            key: how they were computed.
            rows: distinct pictures.

        Yields:
            Positions in ``rows`` ``(k,)``, each once and some never, and their features ``(k, length)``.

        Raises:
            ServiceUnreachable: the store does not answer.
        """
        missing = {row: place for place, row in enumerate(rows)}
        folder, seen, before = self._folder(key), set[str](), None
        with _reached(folder):
            while missing:
                listed = self._names(folder).keys()
                names = sorted(listed - seen)
                # What was packed since it was listed is in the next listing; a listing that the packing ran
                # across may have neither. So it ends with one that is as the one before.
                if not names and listed == before:
                    return
                if names and not seen:
                    self._describe(key)
                before = listed
                seen.update(names)
                for part in self._parts(folder, names, key.length):
                    places = np.array([missing.pop(row, -1) for row in part.rows], dtype=np.int64)
                    if (wanted := places >= 0).any():
                        yield places[wanted], part.features[wanted]
                    if not missing:
                        return

    def write(self, key: FeatureKey, rows: Sequence[FeatureRow], features: NDArray[np.float32]) -> None:
        """Keep the features of some pictures in a part of their own.

        Args:
            key: how they were computed.
            rows: n distinct pictures, n above 0.
            features: ``(n, length)``.

        Raises:
            NoRoom: the disk is full.
            ServiceUnreachable: the store cannot be written.
        """
        folder = self._folder(key)
        with _reached(folder):
            self._describe(key)
            self._write(folder, rows, features)

    def merge(self, key: FeatureKey) -> None:
        """Pack small parts into few once there are many; they go when what takes their place is there.

        Raises:
            NoRoom: the disk is full.
            ServiceUnreachable: the store does not answer, or cannot be written.
        """
        folder = self._folder(key)
        with _reached(folder):
            sizes = self._names(folder)
            small = sorted(name for name, size in sizes.items() if (size or 0) < FULL_BYTES // 2)
            if len(small) > MANY:
                self._pack(folder, small, key.length)

    def erase(self, image_ids: Collection[str]) -> int:
        """Write every part anew that has features of these pictures, without them, and remove the old one.

        A damaged part, of which nobody knows what it holds, is removed.

        Returns:
            How many pictures' features went, each counted as often as it was computed in another way.

        Raises:
            OSError: the store cannot be read or written.
        """
        erased = 0
        for file in part_files(self._store):
            folder, _, name = file.rpartition("/")
            part = self._part(folder, name)
            if part is None:
                continue
            stays = np.array([row.image_id not in image_ids for row in part.rows], dtype=np.bool_)
            if stays.all():
                continue
            erased += int((~stays).sum())
            if stays.any():
                rows = [row for row, is_kept in zip(part.rows, stays, strict=True) if is_kept]
                self._write(folder, rows, part.features[stays])
            remove_file(self._store, file)
        return erased

    def _folder(self, key: FeatureKey) -> str:
        return f"{self._root}/{key.digest}"

    def _names(self, folder: str) -> dict[str, int | None]:
        """The parts of a folder, with their sizes where the store says them."""
        listed = list_folder(self._store, folder)
        return {name: size for name, size in listed.items() if is_part(name)}

    def _parts(self, folder: str, names: Sequence[str], length: int) -> Iterator[_Part]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for start in range(0, len(names), AT_ONCE):
                some = names[start : start + AT_ONCE]
                read = pool.map(lambda name: self._part(folder, name, length), some)
                yield from (part for part in read if part is not None)

    def _part(self, folder: str, name: str, length: int | None = None) -> _Part | None:
        """A part whose bytes have its digest; None where it is gone by now, or damaged: then it goes.

        It is not mapped: a file that another process cuts would end this one.
        """
        uri = f"{folder}/{name}"
        try:
            data = read_blob(self._store, uri)
        except FileNotFoundError:
            return None
        part = _decode(data) if blake3(data).hexdigest() == name.removesuffix(PART_SUFFIX) else None
        if part is None or length not in (None, part.features.shape[1]):
            logger.warning(
                "Features %s are damaged: their bytes do not have the digest that names them. They were "
                "removed, and are computed again.",
                uri,
            )
            remove_file(self._store, uri)
            return None
        return part

    def _write(self, folder: str, rows: Sequence[FeatureRow], features: NDArray[np.float32]) -> str:
        data = _encode(rows, features)
        name = f"{blake3(data).hexdigest()}{PART_SUFFIX}"
        write_blob(self._store, f"{folder}/{name}", data)
        return name

    def _describe(self, key: FeatureKey) -> None:
        """Say beside the parts what they follow from; how old that is says when they were used last."""
        uri = f"{self._folder(key)}/{KEY_FILE}"
        there = stored_file(self._store, uri)
        if there is None or datetime.now(UTC) - there.changed > USED_AGAIN:
            write_blob(self._store, uri, key.model_dump_json(indent=2).encode())

    def _pack(self, folder: str, names: Sequence[str], length: int) -> None:
        """Write what these parts hold into full ones, each picture once, and remove them last."""
        packed, written, seen = list[str](), set[str](), set[FeatureRow]()
        rows, features, size = list[FeatureRow](), list[NDArray[np.float32]](), 0
        for name in names:
            part = self._part(folder, name, length)
            if part is None:
                continue
            packed.append(name)
            fresh = [place for place, row in enumerate(part.rows) if row not in seen]
            rows += [part.rows[place] for place in fresh]
            seen.update(part.rows)
            features.append(part.features[fresh])
            size += features[-1].nbytes
            if size >= FULL_BYTES:
                written.add(self._write(folder, rows, np.concatenate(features)))
                rows, features, size = [], [], 0
        if rows:
            written.add(self._write(folder, rows, np.concatenate(features)))
        for name in set(packed) - written:
            remove_file(self._store, f"{folder}/{name}")


def features_folder(store: BaseArtifactStore) -> str:
    """Where a store keeps features."""
    return f"{str(store.path).rstrip('/')}/{FEATURES_FOLDER}"


def is_part(name: str) -> bool:
    """Whether a file of this name is a part, and written to its end."""
    return name.endswith(PART_SUFFIX) and not name.startswith(".")


def part_files(store: BaseArtifactStore) -> list[str]:
    """The addresses of all parts, of whatever key.

    Raises:
        OSError: the store cannot be read.
    """
    files = walk_files(store, features_folder(store))
    return [file.uri for file in files if is_part(file.uri.rpartition("/")[2])]


def pictures_in(store: BaseArtifactStore, uri: str) -> list[str]:
    """The ids of the pictures in a part, without their features.

    Raises:
        DamagedArtifact: it is no part, or cut short.
        OSError: it is not there, or the store cannot be read.
    """
    try:
        with store.open(uri, "rb") as file:
            column = pa.ipc.open_file(pa.PythonFile(file, "r")).schema.get_field_index("image_id")
            only = pa.ipc.IpcReadOptions(included_fields=[column])
            reader = pa.ipc.open_file(pa.PythonFile(file, "r"), options=only)
            batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
            return [str(image_id) for batch in batches for image_id in batch.column("image_id").to_pylist()]
    except (pa.ArrowInvalid, KeyError) as error:
        raise DamagedArtifact(
            f"Nobody can say of which pictures the features {uri} are: {error}. Remove the file, nothing is "
            "lost: they are computed again."
        ) from error


def names_one_of(store: BaseArtifactStore, uri: str, image_ids: Collection[str]) -> bool:
    """Whether a part is of one of these pictures; one that is damaged, or half written, by its bytes.

    Raises:
        OSError: it is not there, or the store cannot be read.
    """
    with suppress(DamagedArtifact):
        return not set(pictures_in(store, uri)).isdisjoint(image_ids)
    wanted = [image_id.encode() for image_id in image_ids]
    overlap = max(map(len, wanted), default=1) - 1
    return any(each in piece for piece in read_overlapping(store, uri, overlap=overlap) for each in wanted)


def _encode(rows: Sequence[FeatureRow], features: NDArray[np.float32]) -> bytes:
    """An Arrow IPC file with one batch; the same rows give the same bytes."""
    values = pa.array(np.ascontiguousarray(features, dtype=np.float32).ravel())
    column = pa.FixedSizeListArray.from_arrays(values, features.shape[1])
    image_ids, orientations = zip(*rows, strict=True)
    batch = pa.record_batch(
        [pa.array(image_ids, pa.string()), pa.array(orientations, pa.int8()), column],
        names=["image_id", "orientation", "feature"],
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _decode(data: bytes) -> _Part | None:
    """What a part holds; None where it is none."""
    try:
        batch = pa.ipc.open_file(pa.py_buffer(data)).get_batch(0)
        features = batch.column("feature").values.to_numpy(zero_copy_only=True).reshape(len(batch), -1)
        rows = map(FeatureRow, batch.column("image_id").to_pylist(), batch.column("orientation").to_pylist())
        return _Part(list(rows), features)
    except (pa.ArrowInvalid, KeyError, AttributeError):  # another program's file of this name
        return None


@contextmanager
def _reached(folder: str) -> Iterator[None]:
    """Say in one line that a store does not answer.

    Raises:
        ServiceUnreachable: it does not.
        NoRoom: its disk is full.
    """
    try:
        yield
    except NoRoom:
        raise
    except OSError as error:
        raise ServiceUnreachable(
            f"The cache of features {folder} cannot be read or written ({error}). Run the same command again "
            "once it can: what was computed is kept."
        ) from error
