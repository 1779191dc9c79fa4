"""Pictures packed into Arrow IPC files of about 64 MB, each named by the digest of its bytes.

An index says at which offset of which shard a picture lies, so that one read gives one picture; its digest is
its ``image_id``, so that bytes which changed are never handed out.
"""

from __future__ import annotations

import io
import os
import shlex
import shutil
import tempfile
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from blake3 import blake3

from materializers.blobs import Piece, download_blob, is_on_disk, read_blob, read_pieces, room_for
from materializers.errors import DamagedArtifact, ServiceUnreachable
from materializers.shard_cache import OpenBytes, OpenFile, ShardCache

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore

MEND = (
    "Deliver its pictures again, and let older datasets find them there: python run.py --train --source "
    "PATH, python run.py --compact"
)
SHARD_BYTES = 64 * 2**20
"""Large enough that a bucket's latency does not count."""
SHARD_SUFFIX = ".arrow"
SHARDS_FOLDER = "datasets/shards"
"""Below the artifact store's root; all versions share it."""
ROOM_BEFORE = 2**19
"""Bytes before the pictures that are packed: what stands before 6,000 of them in the file."""
SCHEMA = pa.schema([("image_id", pa.string()), ("picture", pa.large_binary())])
FEW = 16
"""Pictures of a bucket's shard that are read by a request each: one costs as much as 4 MB of a whole one."""


class Wanted(NamedTuple):
    """A picture, and where it lies in its shard."""

    image_id: str
    offset: int
    size: int


def picture_digest(data: bytes | bytearray) -> str:
    """The name of a picture: blake3 (hex) of its encoded bytes."""
    return blake3(data).hexdigest()


def shard_name(digest: str) -> str:
    """The name of a shard's file."""
    return f"{digest}{SHARD_SUFFIX}"


def digest_of_name(name: str) -> str | None:
    """The digest of the shard whose file has this name; None where it is no shard's, or one half written."""
    if name.startswith(".") or not name.endswith(SHARD_SUFFIX):
        return None
    return name.removesuffix(SHARD_SUFFIX)


def shard_uri(store: BaseArtifactStore, digest: str) -> str:
    """Where a store keeps a shard."""
    return f"{store.path}/{SHARDS_FOLDER}/{shard_name(digest)}"


def stored_shard(store: BaseArtifactStore, digest: str) -> Shard:
    """A shard of an artifact store; nothing is read yet."""
    uri = shard_uri(store, digest)
    return FileShard(digest, Path(uri)) if is_on_disk(uri) else RemoteShard(digest, store)


class Shard(ABC):
    """Some pictures in one file, opened when a picture is asked for.

    Attributes:
        digest: blake3 (hex) of the file.
        uri: where it lies.
    """

    def __init__(self, digest: str, uri: str) -> None:
        self.digest, self.uri = digest, uri

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.uri})"

    def pictures(self, wanted: Sequence[Wanted], *, verify: bool = True) -> Iterator[bytes]:
        """The encoded bytes of these pictures, in this order, a read each.

        Where they are at least half of the file, its digest is verified before, which costs less than half of
        what one digest a picture costs.

        Raises:
            DamagedArtifact: the file is missing, or bytes are not those of their picture.
            ServiceUnreachable: the store does not answer.
        """
        with self._opened() as file:
            verify = verify and not file.trusted
            if verify and isinstance(file, OpenFile) and 2 * sum(each.size for each in wanted) >= file.size():
                self._verify(file.pieces())
                verify = False
            for each in wanted:
                data = file.read(each.offset, each.size)
                yield self.verified(each, data) if verify else data

    def verified(self, wanted: Wanted, data: bytes) -> bytes:
        """The bytes of a picture, when they are its own.

        Raises:
            DamagedArtifact: they are not.
        """
        if (digest := picture_digest(data)) != wanted.image_id:
            raise self._damaged(f"picture {wanted.image_id[:12]}", digest)
        return data

    def whole(self) -> bytes | bytearray:
        """The file, whose digest is verified.

        Raises:
            DamagedArtifact: it is missing, or its bytes do not have its digest.
            ServiceUnreachable: the store does not answer.
        """
        data = self._bytes()
        if (digest := picture_digest(data)) != self.digest:
            raise self._damaged("the file", digest)
        return data

    def pieces(self) -> Iterator[Piece]:
        """The file piece by piece; a piece is to be used before the next one is asked for.

        Raises:
            DamagedArtifact: it is missing, or, after the last piece, its bytes do not have its digest.
            ServiceUnreachable: the store does not answer.
        """
        yield self.whole()

    @cached_property
    def rows(self) -> list[Wanted]:
        """Every picture of the file in its order, found by reading the file whole.

        Raises:
            DamagedArtifact: the file is missing or damaged.
        """
        return layout(self.whole())

    @property
    def size(self) -> int | None:
        """Bytes of the file, where that is known without asking a store."""
        return None

    @abstractmethod
    def _opened(self) -> AbstractContextManager[OpenFile | OpenBytes]:
        """The file, open."""

    @abstractmethod
    def _bytes(self) -> bytes | bytearray:
        """The file, unverified."""

    def _verify(self, pieces: Iterable[Piece]) -> None:
        digest = blake3()
        for piece in pieces:
            digest.update(piece)
        if digest.hexdigest() != self.digest:
            raise self._damaged("the file", digest.hexdigest())

    def _damaged(self, what: str, digest: str) -> DamagedArtifact:
        remove = f"Remove it: rm {shlex.quote(self.uri)}" if is_on_disk(self.uri) else "Remove it"
        return DamagedArtifact(
            f"Shard {self.uri} is damaged: {what} has digest {digest[:12]}. {remove}. {MEND}"
        )


class MemoryShard(Shard):
    """A shard that was packed and is stored nowhere yet."""

    def __init__(self, digest: str, data: bytearray) -> None:
        super().__init__(digest, f"{shard_name(digest)} (in memory)")
        self._data = data

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self._data)

    def whole(self) -> bytearray:
        """The file as it was packed."""
        return self._data

    @contextmanager
    def _opened(self) -> Iterator[OpenBytes]:
        yield OpenBytes(self._data)

    def _bytes(self) -> bytearray:
        return self._data


class FileShard(Shard):
    """A shard on disk. It is not mapped: a file that another process cuts would end this one."""

    def __init__(self, digest: str, path: Path, spool: Spool | None = None) -> None:
        """Name the file.

        Args:
            digest: its digest.
            path: where it lies.
            spool: the folder that is removed when no shard holds it.
        """
        super().__init__(digest, str(path))
        self._path, self._spool = path, spool

    @property
    def size(self) -> int | None:
        """Bytes of the file, while it waits to be stored."""
        return self._path.stat().st_size if self._spool else None

    @contextmanager
    def _opened(self) -> Iterator[OpenFile]:
        try:
            file = os.open(self._path, os.O_RDONLY)
        except OSError as error:
            raise unreadable(f"Shard {self.uri}", error) from error
        try:
            yield OpenFile(file)
        except OSError as error:
            raise unreadable(f"Shard {self.uri}", error) from error
        finally:
            os.close(file)

    def pieces(self) -> Iterator[Piece]:
        """As of any shard; not more than one piece is in memory."""
        digest = blake3()
        with self._opened() as file:
            for piece in file.pieces():
                digest.update(piece)
                yield piece
        if digest.hexdigest() != self.digest:
            raise self._damaged("the file", digest.hexdigest())

    def _bytes(self) -> bytes:
        try:
            return self._path.read_bytes()
        except OSError as error:
            raise unreadable(f"Shard {self.uri}", error) from error


class RemoteShard(Shard):
    """A shard of an object store: few pictures by a request each, more through the cache of this machine."""

    def __init__(self, digest: str, store: BaseArtifactStore, cache: ShardCache | None = None) -> None:
        super().__init__(digest, shard_uri(store, digest))
        self.store = store
        self._cache = cache or ShardCache.of_this_machine()
        self._asked = 0

    def pictures(self, wanted: Sequence[Wanted], *, verify: bool = True) -> Iterator[bytes]:
        """As of any shard; a copy in the cache that is damaged is fetched again."""
        done = 0
        try:
            for data in super().pictures(wanted, verify=verify):
                yield data
                done += 1
        except DamagedArtifact:
            if not self._cache.remove([self.digest]):
                raise
            yield from super().pictures(wanted[done:], verify=verify)

    def takes_few(self, more: int) -> bool:
        """Whether so many more pictures are cheaper by a request each than with the whole shard."""
        if self._asked + more > FEW or self._cache.has(self.digest):
            return False
        self._asked += more
        return True

    @contextmanager
    def _opened(self) -> Iterator[OpenFile | OpenBytes]:
        with self._cache.opened(self.digest, self._download, self.whole) as file:
            yield file

    def _download(self, path: Path) -> None:
        """Copy the shard to a file of this machine, and verify it there."""
        download_blob(self.store, self.uri, path)
        with path.open("rb") as file:
            self._verify(OpenFile(file.fileno()).pieces())

    def _bytes(self) -> bytes:
        try:
            return read_blob(self.store, self.uri)
        except OSError as error:
            raise unreadable(f"Shard {self.uri}", error) from error


def read_pictures(groups: Sequence[tuple[Shard, Sequence[Wanted]]]) -> list[list[bytes]]:
    """The encoded bytes of pictures of several shards, verified; those that cost a request each all at once.

    Args:
        groups: shards, each once, with what is wanted of them.

    Returns:
        The bytes for each group, in its order.

    Raises:
        DamagedArtifact: a shard is missing or damaged.
        ServiceUnreachable: a store does not answer.
    """
    few = [
        (shard, wanted)
        for shard, wanted in groups
        if isinstance(shard, RemoteShard) and shard.takes_few(len(wanted))
    ]
    found = _read_few(few)
    return [found.get(shard.digest) or list(shard.pictures(wanted)) for shard, wanted in groups]


def _read_few(groups: Sequence[tuple[RemoteShard, Sequence[Wanted]]]) -> dict[str, list[bytes]]:
    """The pictures of each shard; none of those of a store that refused one: read whole, they say why."""
    by_store: dict[int, list[tuple[RemoteShard, Wanted]]] = {}
    for shard, wanted in groups:
        by_store.setdefault(id(shard.store), []).extend((shard, each) for each in wanted)
    found: dict[str, list[bytes]] = {}
    for asked in by_store.values():
        places = [(shard.uri, each.offset, each.size) for shard, each in asked]
        with suppress(OSError):
            pieces = read_pieces(asked[0][0].store, places)
            for (shard, each), data in zip(asked, pieces, strict=True):
                found.setdefault(shard.digest, []).append(shard.verified(each, data))
    return found


def unreadable(named: str, error: Exception) -> DamagedArtifact | ServiceUnreachable:
    """What to raise where a file cannot be read: it is missing or damaged, or its store does not answer."""
    if isinstance(error, OSError) and "://" in named and not isinstance(error, FileNotFoundError):
        return ServiceUnreachable(f"{named} cannot be read ({error}). Run the same command again later.")
    return DamagedArtifact(f"{named} cannot be read ({error}). {MEND}")


# --- Packing ----------------------------------------------------------------------------------------------


class Spool:
    """A folder for shards that are stored nowhere yet; removed when no shard of it is held any more."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="shutterline-shards-"))
        weakref.finalize(self, _remove_own, self.folder, os.getpid())


def _remove_own(folder: Path, owner: int) -> None:
    """A process that was forked leaves the folder to the one that made it."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


class Place(NamedTuple):
    """Where a picture lies."""

    shard: str
    row: int
    offset: int
    size: int


class Packer:
    """Packs pictures into shards in the order they come; from the first full one on they wait on disk.

    Args:
        spool: where they wait from the very first on, for who packs many shards.
    """

    def __init__(self, spool: Spool | None = None) -> None:
        self.shards: dict[str, Shard] = {}
        self.places: list[Place] = []
        """Where each picture lies, in the order they came; complete after :meth:`finish`."""
        self._image_ids: list[str] = []
        self._ends = [0]
        self._room = bytearray(ROOM_BEFORE)
        self._spool = spool

    def add(self, image_id: str, data: bytes) -> None:
        """Take a picture; its bytes are copied."""
        if self._image_ids and self._ends[-1] + len(data) > SHARD_BYTES:
            self._spool = self._spool or Spool()
            self._pack()
        start, end = self._ends[-1], self._ends[-1] + len(data)
        self._room[ROOM_BEFORE + start : ROOM_BEFORE + end] = data
        self._image_ids.append(image_id)
        self._ends.append(end)

    def finish(self) -> None:
        """Pack what is left; no picture can be added any more."""
        if self._image_ids:
            self._pack()
        self._room = bytearray()

    def _pack(self) -> None:
        last = ROOM_BEFORE + self._ends[-1]
        with memoryview(self._room)[ROOM_BEFORE:last] as pictures:
            before, after = framing(self._image_ids, self._ends, pictures)
            digest = blake3(before).update(pictures).update(after).hexdigest()
            if self._spool is not None:
                path = self._spool.folder / shard_name(digest)
                with room_for("a shard of pictures"), path.open("wb") as file:
                    file.writelines([before, pictures, after])
                self.shards[digest] = FileShard(digest, path, self._spool)
        if self._spool is None:
            self._room[last:] = after
            self._room[:ROOM_BEFORE] = before  # nothing is moved: a bytearray can begin later
            self.shards[digest] = MemoryShard(digest, self._room)
        for row, (start, end) in enumerate(pairwise(self._ends)):
            self.places.append(Place(digest, row, len(before) + start, end - start))
        self._image_ids, self._ends = [], [0]


def framing(image_ids: Sequence[str], ends: Sequence[int], pictures: memoryview) -> tuple[bytes, bytes]:
    """What stands before and after pictures in an Arrow IPC file with one batch; no picture is copied.

    Args:
        image_ids: of each picture.
        ends: 0, and where each ends.
        pictures: their encoded bytes in a row.

    Returns:
        The same bytes for the same pictures in the same order.
    """
    offsets = pa.py_buffer(np.array(ends, dtype=np.int64))
    column = pa.Array.from_buffers(pa.large_binary(), len(image_ids), [None, offsets, pa.py_buffer(pictures)])
    batch = pa.record_batch([pa.array(image_ids, pa.string()), column], schema=SCHEMA)
    sink = _Sink()
    with pa.ipc.new_file(pa.PythonFile(sink, "w"), SCHEMA) as writer:
        writer.write_batch(batch)
    at = sink.position_of(column.buffers()[2])
    return b"".join(sink.written[:at]), b"".join(sink.written[at + 1 :])


class _Sink(io.RawIOBase):
    """Keeps what Arrow writes; a column's values are handed over as the buffer that they are."""

    def __init__(self) -> None:
        self.written: list[Any] = []

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: Any) -> int:
        """Keep it."""
        self.written.append(data)
        return len(data)

    def tell(self) -> int:
        """The bytes so far."""
        return sum(map(len, self.written))

    def position_of(self, buffer: pa.Buffer) -> int:
        """Which of the writes was this buffer; the end, where it is empty and was not written."""
        for position, data in enumerate(self.written):
            if isinstance(data, pa.Buffer) and (data.address, data.size) == (buffer.address, buffer.size):
                return position
        return len(self.written)


def held(store: BaseArtifactStore, uri: str) -> list[str]:
    """The ids of the pictures in a stored shard, whatever datasets say; its pictures are not read.

    Raises:
        DamagedArtifact: it is no shard, or cut short.
        OSError: it is not there, or the store cannot be read.
    """
    try:
        with store.open(uri, "rb") as file:
            column = pa.ipc.open_file(pa.PythonFile(file, "r")).schema.get_field_index("image_id")
            if column < 0:  # format 1
                return [each.image_id for each in layout(read_blob(store, uri))]
            only = pa.ipc.IpcReadOptions(included_fields=[column])
            reader = pa.ipc.open_file(pa.PythonFile(file, "r"), options=only)
            batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
            return [str(image_id) for batch in batches for image_id in batch.column("image_id").to_pylist()]
    except (pa.ArrowInvalid, KeyError) as error:
        raise DamagedArtifact(
            f"Nobody can say which pictures shard {uri} holds: it is damaged ({error}). Remove it. {MEND}"
        ) from error


def layout(data: bytes | bytearray) -> list[Wanted]:
    """Where each picture lies in the bytes of a shard, of this format or of format 1, which has no ids."""
    buffer = pa.py_buffer(data)
    reader = pa.ipc.open_file(buffer)
    rows = []
    for number in range(reader.num_record_batches):
        batch = reader.get_batch(number)
        column = batch.column("picture")
        _, offsets, values = column.buffers()
        start = values.address - buffer.address if values.size else 0
        ends = np.frombuffer(offsets, dtype=np.int64, count=len(column) + 1, offset=8 * column.offset)
        if "image_id" in batch.schema.names:
            image_ids = batch.column("image_id").to_pylist()
        else:
            image_ids = [picture_digest(picture.as_py()) for picture in column]
        places = zip(image_ids, ends[:-1].tolist(), ends[1:].tolist(), strict=True)
        rows += [Wanted(image_id, start + first, last - first) for image_id, first, last in places]
    return rows
