"""Files of an artifact store: one is there whole or not at all, and costs one request where that is possible.

On disk a file is written under another name and renamed; an object store gets one upload. Stores whose client
is a file system of fsspec, as those of S3, Google and Azure are, are asked through it; any other one through
ZenML's own methods.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias
from uuid import uuid4

from fsspec import AbstractFileSystem
from zenml.utils.io_utils import is_remote

from materializers.errors import NoRoom, ServiceUnreachable, StoreUnreachable

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What a system answers that has no room: the disk, the user's share of it, or the file may not grow."""

PIECE = 2**20
PART = ".part"
"""How a file on disk ends that is not written to its end yet, or never was."""
S3_CLIENT = ("botocore.", "aiobotocore.")
"""Whose exceptions are no OSErrors, other than those of all other stores' clients."""
Piece: TypeAlias = bytes | bytearray | memoryview


def is_on_disk(uri: str) -> bool:
    """Whether a file of this machine is meant."""
    return not is_remote(uri)


@contextmanager
def as_os_errors() -> Iterator[None]:
    """Have it be an ``OSError`` too where a server of S3 is not there, or gives nothing for want of a key.

    Raises:
        StoreUnreachable: S3's client raised what is none.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) or not type(error).__module__.startswith(S3_CLIENT):
            raise
        raise StoreUnreachable(f"The artifact store does not answer: {error}") from error


@contextmanager
def store_errors(act: str) -> Iterator[None]:
    """Turn what an artifact store raises into one clear line.

    Raises:
        ServiceUnreachable: the store did not do ``act``.
        NoRoom: its disk is full.
    """
    try:
        with as_os_errors():
            yield
    except NoRoom:
        raise
    except OSError as error:
        why = error.__cause__ if isinstance(error, StoreUnreachable) else error
        raise ServiceUnreachable(
            f"The artifact store could not {act}: {why}. Run the same command again once it does; look at "
            "the stack: zenml stack describe"
        ) from error


@contextmanager
def room_for(what: str, folder: Path | None = None) -> Iterator[None]:
    """Say what could not be written, and where, when a disk takes no more.

    Args:
        what: is written.
        folder: where; None: in this machine's folder for temporary files.

    Raises:
        NoRoom: the disk is full, or the file may not grow any more.
        OSError: anything else.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL or isinstance(error, NoRoom):
            raise
        raise _no_room(what, folder, error) from error


def _no_room(what: str, folder: Path | None, error: OSError) -> NoRoom:
    place = Path(tempfile.gettempdir()) if folder is None else folder
    larger = " or name another folder, export TMPDIR=FOLDER," if folder is None else ""
    refused = NoRoom(
        f"{place} takes no more: {what} could not be written ({error.strerror}; {_free(place):,} bytes are "
        f"free there). What was stored before is as it was. Make room, see df -h {place} and python run.py "
        f"--collect,{larger} and run the same command again: it goes on from there."
    )
    refused.errno, refused.strerror = error.errno, error.strerror
    return refused


def _free(folder: Path) -> int:
    """The bytes that its disk has left."""
    there = next((each for each in (folder, *folder.parents) if each.exists()), Path())
    return shutil.disk_usage(there).free


@as_os_errors()
def write_blob(store: BaseArtifactStore, uri: str, data: bytes | bytearray | Iterable[Piece]) -> None:
    """Write ``data`` at ``uri``: on disk by temporary file, fsync and rename, else by one upload.

    s3fs sends 100 MB or more in an upload of parts, whose key appears only when it is complete. Where asking
    for the next piece raises, nothing is written.

    Raises:
        OSError: the store cannot be written.
    """
    if is_on_disk(uri):
        write_file(Path(uri), data)
        return
    whole = data if isinstance(data, bytes | bytearray) else b"".join(data)
    if (files := _file_system(store)) is not None:
        files.pipe_file(uri, whole)
    else:
        _upload(store, io.BytesIO(whole), uri)


@as_os_errors()
def read_blob(store: BaseArtifactStore, uri: str) -> bytes:
    """Read all of ``uri``, in one request.

    Raises:
        OSError: it is not there, or the store cannot be read.
    """
    if is_on_disk(uri):
        return Path(uri).read_bytes()
    data: bytes
    if (files := _file_system(store)) is not None:
        try:
            data = files.cat_file(uri, start=0)  # without a start s3fs asks for the size first
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            data = b""  # an empty object has no first byte to start at
    else:
        with store.open(uri, "rb") as file:
            data = file.read()
    return data


@as_os_errors()
def download_blob(store: BaseArtifactStore, uri: str, path: Path) -> None:
    """Copy all of ``uri``, which is not on disk, to a new file of this machine, in one request.

    Raises:
        OSError: it is not there, the store cannot be read, or the file not be written.
    """
    files = _file_system(store)
    if files is None:
        with store.open(uri, "rb") as source, path.open("wb") as target:
            shutil.copyfileobj(source, target, PIECE)
        return
    try:
        files.get_file(uri, str(path), max_concurrency=1)  # else s3fs asks once more for each 50 MB
    except TypeError:  # a client that always asks once
        files.get_file(uri, str(path))


@as_os_errors()
def read_pieces(store: BaseArtifactStore, places: Sequence[tuple[str, int, int]]) -> list[bytes]:
    """Read pieces of objects, each in one request, several at the same time.

    Args:
        store: where they lie.
        places: address, offset and size of each.

    Returns:
        The bytes of each; fewer than asked for where an object ends before.

    Raises:
        OSError: an object is not there, or the store cannot be read.
    """
    files = _file_system(store)
    if files is None:
        return [_read_piece(store, *place) for place in places]
    uris, starts, sizes = zip(*places, strict=True)
    ends = [start + size for start, size in zip(starts, sizes, strict=True)]
    pieces: list[bytes] = files.cat_ranges(list(uris), list(starts), ends, on_error="raise")
    return pieces


@as_os_errors()
def list_folder(store: BaseArtifactStore, folder: str) -> dict[str, int | None]:
    """The files of a folder by name, with their sizes where the store says them; none where it is not there.

    Raises:
        OSError: the store cannot be read.
    """
    if is_on_disk(folder):
        if not Path(folder).is_dir():
            return {}
        with os.scandir(folder) as found:
            sizes = {entry.name: _size(entry) for entry in found if not entry.name.startswith(".")}
        return {name: size for name, size in sizes.items() if size is not None}
    if (files := _file_system(store)) is not None:
        files.invalidate_cache(folder)  # what others wrote since
        try:
            listed = files.ls(folder, detail=True)
        except FileNotFoundError:
            return {}
        return {str(each["name"]).rpartition("/")[2]: each["size"] for each in listed}
    names = store.listdir(folder) if store.exists(folder) else []
    return {Path(str(name)).name: None for name in names}


def _size(entry: os.DirEntry[str]) -> int | None:
    """In bytes; None where the file went since it was listed."""
    try:
        return entry.stat().st_size
    except FileNotFoundError:
        return None


def _read_piece(store: BaseArtifactStore, uri: str, offset: int, size: int) -> bytes:
    with store.open(uri, "rb") as file:
        file.seek(offset)
        data: bytes = file.read(size)
    return data


def _file_system(store: BaseArtifactStore) -> AbstractFileSystem | None:
    """The store's own client, usable in this process; None where it has none that reads ranges."""
    files = getattr(store, "filesystem", None)
    if not isinstance(files, AbstractFileSystem):
        return None
    return _reopened(files) if _Process.forked else files


class _Process:
    """Whether this process was forked from one that may have used the store's client already."""

    forked = False


def _after_fork() -> None:
    _Process.forked = True
    _reopened.cache_clear()


@lru_cache(maxsize=8)
def _reopened(files: AbstractFileSystem) -> AbstractFileSystem:
    """A client of this process: connections and the thread that serves them do not survive a fork."""
    return type(files)(*files.storage_args, **files.storage_options, skip_instance_cache=True)


os.register_at_fork(after_in_child=_after_fork)


@as_os_errors()
def upload_file(store: BaseArtifactStore, path: Path, uri: str) -> None:
    """Copy a file of this machine to ``uri`` of a remote store, piece by piece; whole or not at all.

    Raises:
        OSError: the file cannot be read, or the store not be written.
    """
    with path.open("rb") as file:
        _upload(store, file, uri)


def _upload(store: BaseArtifactStore, source: IO[bytes], uri: str) -> None:
    """Closing is what makes an object appear: one that was not read to its end is discarded instead."""
    remote: Any = store.open(uri, "wb")
    try:
        shutil.copyfileobj(source, remote, PIECE)
    except BaseException:
        remote.discard()
        remote.closed = True  # or the collector would close it after all
        raise
    remote.close()


def write_file(path: Path, data: bytes | bytearray | Iterable[Piece]) -> None:
    """Replace the file at ``path`` with ``data`` by temporary file, fsync and rename.

    Raises:
        NoRoom: the disk takes no more.
        OSError: it cannot be written.
    """
    with room_for(path.name, path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid4().hex}{PART}")
        try:
            with temporary.open("wb") as file:
                file.writelines([data] if isinstance(data, bytes | bytearray) else data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
