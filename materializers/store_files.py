"""The files below an artifact store's root: walked, searched and removed alike on disk and in a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore

DELIVERIES = "deliveries"
"""Below a store's root: deliveries of a caller's disk that were brought to where the steps are."""
CHECKPOINTS, STUDIES = "checkpoints", "studies"
"""Below a store's root: trainings that go on, or were killed; a folder each."""
INFERENCES = "inferences"
"""Below a store's root: what bulk inferences have answered so far; a folder a model, code and setting."""
PIECE_BYTES = 8 * 2**20
CHANGED = ("LastModified", "last_modified", "mtime", "updated")
"""Under which name the clients of object stores say when an object was written."""


@dataclass(frozen=True)
class StoredFile:
    """One file of a store.

    Attributes:
        uri: its address.
        size: in bytes.
        changed: when it was written (UTC); now, where the store does not say, so that it never counts as old.
    """

    uri: str
    size: int
    changed: datetime


def walk_files(store: BaseArtifactStore, folder: str) -> Iterator[StoredFile]:
    """Every file below a folder as it is there now, in the order of the addresses of their folders.

    Raises:
        OSError: the store cannot be read.
    """
    forget_listings(store, folder)
    if not store.exists(folder):
        return
    for place, _, names in store.walk(folder):
        for name in sorted(_text(name) for name in names):
            if not name:  # how an object store lists a folder's own key
                continue
            uri = f"{_text(place).rstrip('/')}/{name}"
            found = stored_file(store, uri)
            if found is not None:
                yield found


def stored_file(store: BaseArtifactStore, uri: str) -> StoredFile | None:
    """What the store says of one file; None where it is not there (any more)."""
    try:
        about: Any = store.stat(uri)
    except FileNotFoundError:
        return None
    if isinstance(about, dict):
        changed = next((about[name] for name in CHANGED if about.get(name)), None)
        return StoredFile(uri, int(about.get("size") or 0), _moment(changed))
    return StoredFile(uri, about.st_size, _moment(about.st_mtime))


def forget_listings(store: BaseArtifactStore, folder: str) -> None:
    """Have the store look anew: clients of object stores list a folder once in a process."""
    if (filesystem := getattr(store, "filesystem", None)) is not None:
        filesystem.invalidate_cache(folder)
        filesystem.invalidate_cache()


def read_overlapping(store: BaseArtifactStore, uri: str, *, overlap: int = 0) -> Iterator[bytes]:
    """The bytes of one file in pieces of 8 MiB, each of which begins with the end of the one before.

    Args:
        store: where it lies.
        uri: its address.
        overlap: how many bytes two pieces have in common.

    Raises:
        OSError: it is not there, or cannot be read.
    """
    kept = b""
    with store.open(uri, "rb") as file:
        while fresh := file.read(PIECE_BYTES):
            piece = kept + fresh
            yield piece
            kept = piece[-overlap:] if overlap else b""


def remove_file(store: BaseArtifactStore, uri: str) -> bool:
    """Remove one file; False where it was gone already, which an object store does not say by itself.

    Raises:
        OSError: it cannot be removed.
    """
    if stored_file(store, uri) is None:
        return False
    try:
        store.remove(uri)
    except FileNotFoundError:
        return False
    return True


def relative(store: BaseArtifactStore, uri: str) -> str:
    """The path of an address below the store's root."""
    return uri.removeprefix(str(store.path).rstrip("/")).lstrip("/")


def _moment(value: object) -> datetime:
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    return datetime.now(UTC)


def _text(path: str | bytes) -> str:
    return path.decode() if isinstance(path, bytes) else str(path)
