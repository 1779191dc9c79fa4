"""Write a file of an artifact so that it is there whole or not at all."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from uuid import uuid4

from zenml.utils.io_utils import is_remote

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore


PIECE = 2**20


def write_blob(store: BaseArtifactStore, uri: str, data: bytes) -> None:
    """Write ``data`` at ``uri``: on disk by temporary file, fsync and rename, else by one upload.

    s3fs sends 50 MB or more in an upload of parts, whose key appears only when it is complete.

    Raises:
        OSError: the store cannot be written.
    """
    if is_remote(uri):
        _upload(store, io.BytesIO(data), uri)
        return
    write_file(Path(uri), data)


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


def write_file(path: Path, data: bytes) -> None:
    """Replace the file at ``path`` with ``data`` by temporary file, fsync and rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
