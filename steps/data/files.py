"""The files of one delivery, behind one interface, and what a folder does for it.

Nothing outside a delivery is ever read: a path, a link or a member that leads out refuses the whole of it.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import ClassVar

from materializers.errors import UsageError
from materializers.report import Record
from serving.preprocess import Limits
from steps.data.labels import LABELS_FILE

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


class SourceLimits(Record):
    """What a file of a delivery may weigh; a larger one is not read."""

    picture_bytes: int = Limits().max_bytes
    labels_bytes: int = 500_000_000  # 5 million rows of 100 characters

    def of(self, path: str) -> int:
        """The limit of this file, in bytes."""
        return self.labels_bytes if PurePosixPath(path).name == LABELS_FILE else self.picture_bytes


DEFAULT_LIMITS = SourceLimits()


class Unreadable(Exception):
    """One file cannot be had: ``reason`` (missing, too_many_bytes, truncated, unreadable) and why."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Source(ABC):
    """The files of one delivery, read one by one; ``read`` may be called from several threads.

    Args:
        address: what the user calls it.
        limits: what a file may weigh.
    """

    waits_for_network: ClassVar[bool] = False

    def __init__(self, address: str, limits: SourceLimits) -> None:
        self.address, self.limits = address, limits

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def labels(self) -> bytes:
        """The bytes of ``labels.csv``.

        Raises:
            UsageError: it is not there, or cannot be read.
        """
        try:
            return self.read(LABELS_FILE)
        except Unreadable as error:
            mend = f"Put {LABELS_FILE} (image_path,label) beside the pictures."
            raise UsageError(f"{self.address}: {LABELS_FILE}: {error}. {mend}") from error

    def read(self, path: str) -> bytes:
        """The bytes of one file, by its path below the source.

        Raises:
            Unreadable: this file cannot be had.
            UsageError: the path leads out of the source.
            ServiceUnreachable: the bucket does not answer.
        """
        return self._read(inner_path(path, self.address))

    def pictures(self) -> list[str]:
        """The paths of all files that are named like pictures, sorted.

        Raises:
            ServiceUnreachable: the bucket does not answer.
        """
        return sorted(
            path for path in self._paths() if PurePosixPath(path).suffix.lower() in PICTURE_SUFFIXES
        )

    @abstractmethod
    def _paths(self) -> Iterable[str]: ...

    @abstractmethod
    def _read(self, path: str) -> bytes: ...

    def close(self) -> None:  # noqa: B027 - a folder has nothing open
        """Let go of what is open."""

    def _check_size(self, path: str, size: int) -> None:
        limit = self.limits.of(path)
        if size > limit:
            raise Unreadable("too_many_bytes", f"the file has {size:,} bytes; the limit is {limit:,}")


def printable(path: str) -> str:
    """``path`` as text that can be stored: bytes of a name that is not UTF-8 are written ``\\xff``."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def inner_path(path: str, address: str) -> str:
    """``path`` without ``./``, when it stays below the source.

    Raises:
        UsageError: it is absolute or climbs with ``..``.
    """
    slashed = path.replace("\\", "/")
    drive = re.match("[A-Za-z]:/", slashed)
    if slashed.startswith("/") or drive or ".." in slashed.split("/") or "\0" in path:
        raise UsageError(
            f"{address} is refused as a whole: the path {path!r} leads out of it. Every path has to be "
            "relative, without '..'."
        )
    return str(PurePosixPath(path))


class FolderSource(Source):
    """A folder; links are followed as long as they stay inside."""

    def __init__(self, address: str, root: Path, limits: SourceLimits) -> None:
        super().__init__(address, limits)
        self.root = root.resolve()

    def _paths(self) -> Iterable[str]:
        return (path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file())

    def _read(self, path: str) -> bytes:
        try:
            place = (self.root / path).resolve()
            if not place.is_relative_to(self.root):
                raise UsageError(
                    f"{self.address} is refused as a whole: {path!r} is a link that leads out of it, "
                    f"to {place}. Put the file itself there."
                )
            if not place.is_file():
                raise Unreadable("missing", "there is no such file")
            self._check_size(path, place.stat().st_size)
            return place.read_bytes()
        except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
            raise Unreadable("unreadable", f"the file cannot be read: {error}") from error
