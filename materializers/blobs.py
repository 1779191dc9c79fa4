"""Write a file of an artifact so that it is there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from zenml.utils.io_utils import is_remote

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore


def write_blob(store: BaseArtifactStore, uri: str, data: bytes) -> None:
    """Write ``data`` at ``uri``: on disk by temporary file, fsync and rename, else by one upload.

    s3fs sends 50 MB or more in an upload of parts, whose key appears only when it is complete.

    Raises:
        OSError: the store cannot be written.
    """
    if is_remote(uri):
        with store.open(uri, "wb") as file:
            file.write(data)
        return
    write_file(Path(uri), data)


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
