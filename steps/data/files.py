"""One delivery behind one interface, and what all do that bring a file a picture; a folder is the first.

Nothing outside a delivery is ever read: a path, a link or a member that leads out refuses the whole of it.
A delivery that changes while it is read is refused as a whole too: half of the old and half of the new is
nobody's delivery.
"""

from __future__ import annotations

import os
import re
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO, ClassVar, cast

from materializers.errors import UsageError
from materializers.report import Record
from serving.preprocess import Limits
from steps.data.class_folders import is_picture, label_by_folder, printable
from steps.data.labels import LABELS_FILE, Labels, read_labels

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
PARQUET_SUFFIX = ".parquet"
ODD = re.compile(r"^[./]|^$|[\\:\0]|/[./]|/$")
"""Paths that need a second look; most do not, and there are many of them."""
Stamp = tuple[int, int | str]
"""By what a file is known again: its size, and the time of its last change or its ETag."""


class SourceLimits(Record):
    """What a file of a delivery may weigh; a larger one is not read."""

    picture_bytes: int = Limits().max_bytes
    labels_bytes: int = 500_000_000  # 5 million rows of 100 characters
    table_bytes: int = 100_000_000_000
    """Of a Parquet file in an archive, out of which it is copied before it is read."""
    unpacked_bytes: int = 1_000_000_000_000
    """Of all that is in an archive together."""

    def of(self, path: str) -> int:
        """The limit of this file, in bytes."""
        if PurePosixPath(path).name == LABELS_FILE:
            return self.labels_bytes
        return self.table_bytes if path.lower().endswith(PARQUET_SUFFIX) else self.picture_bytes


DEFAULT_LIMITS = SourceLimits()


class Unreadable(Exception):
    """One file cannot be had: ``reason`` (missing, too_many_bytes, truncated, unreadable) and why."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Source(ABC):
    """One delivery: ``rows`` first, then ``read`` from several threads, and ``check_unchanged`` at the end.

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

    @abstractmethod
    def rows(self) -> Labels:
        """What the delivery says of its pictures: ``labels.csv``, or what stands in its place.

        Raises:
            UsageError: nothing says it, or it cannot be understood.
            ServiceUnreachable: the bucket does not answer.
        """

    @abstractmethod
    def pictures(self) -> list[str]:
        """The paths of all pictures, whether a row names them or not.

        Raises:
            ServiceUnreachable: the bucket does not answer.
        """

    @abstractmethod
    def read(self, path: str) -> bytes:
        """The bytes of one picture, by its path below the source.

        Raises:
            Unreadable: this picture cannot be had.
            UsageError: the path leads out of the source, or the delivery changed since it was looked at.
            ServiceUnreachable: the bucket does not answer.
        """

    @abstractmethod
    def check_unchanged(self) -> None:
        """Look, once everything is read, whether the delivery still is the one that was read.

        Raises:
            UsageError: what was read changed, what was missing came, or a file came or went.
            ServiceUnreachable: the bucket does not answer.
        """

    def close(self) -> None:  # noqa: B027 - a folder has nothing open
        """Let go of what is open."""

    def _changed(self, path: str) -> UsageError:
        return UsageError(
            f"{self.address} is refused as a whole: {printable(path)} changed while it was read. Run the "
            "same command again when the upload is complete."
        )


class PictureFiles(Source):
    """A delivery of one file a picture, labelled by ``labels.csv`` or, without it, by its folders."""

    def __init__(self, address: str, limits: SourceLimits) -> None:
        super().__init__(address, limits)
        self._unprintable: dict[str, str] = {}
        """Path as text → path as it is, where the two differ."""

    def rows(self) -> Labels:
        """``labels.csv`` where it is there; otherwise a row a picture, labelled by the folder it lies in."""
        if self.has_labels():
            return read_labels(self.labels())
        paths = self.watch()
        labels = label_by_folder(self.address, paths, self._folders())
        self._unprintable = {printable(path): path for path in paths if printable(path) != path}
        return labels

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

    def pictures(self) -> list[str]:
        """The paths of all files that are named like pictures, sorted."""
        return sorted(
            path for path in self._paths() if PurePosixPath(path).suffix.lower() in PICTURE_SUFFIXES
        )

    def read(self, path: str) -> bytes:
        """The bytes of one file, by its path below the source."""
        return self._read(inner_path(self._unprintable.get(path, path), self.address))

    def parquet_files(self) -> list[str]:
        """The Parquet files, sorted, of a delivery without ``labels.csv``.

        Raises:
            UsageError: there are pictures beside them, and nothing says which of the two is the delivery.
            ServiceUnreachable: the bucket does not answer.
        """
        found = sorted(path for path in self._paths() if path.lower().endswith(PARQUET_SUFFIX))
        if found and (pictures := self.pictures()):
            raise UsageError(
                f"{self.address} holds pictures ({pictures[0]!r}) beside Parquet files ({found[0]!r}), and "
                f"no {LABELS_FILE}. Give one of the two, or the {LABELS_FILE} of the pictures."
            )
        return found

    @abstractmethod
    def open(self, path: str) -> BinaryIO:
        """Open one file for reading here and there in it, whatever it weighs.

        Raises:
            Unreadable: this file cannot be had.
            UsageError: the path leads out of the source, or the file changed since it was looked at.
            ServiceUnreachable: the bucket does not answer.
        """

    @abstractmethod
    def has_labels(self) -> bool:
        """Whether ``labels.csv`` is there."""

    @abstractmethod
    def _paths(self) -> Iterable[str]: ...

    def watch(self) -> list[str]:
        """All paths; from now on a file that changes, comes or goes is noticed, where that can happen."""
        return list(self._paths())

    def _folders(self) -> set[str]:
        """Folders directly below the root, where they are known apart from what lies in them."""
        return set()

    @abstractmethod
    def _read(self, path: str) -> bytes: ...

    def _check_size(self, path: str, size: int) -> None:
        limit = self.limits.of(path)
        if size > limit:
            raise Unreadable("too_many_bytes", f"the file has {size:,} bytes; the limit is {limit:,}")


class WatchedFiles(PictureFiles):
    """A delivery that somebody can write to while it is read: every file is stamped when it is seen."""

    def __init__(self, address: str, limits: SourceLimits) -> None:
        super().__init__(address, limits)
        self._stamps: dict[str, Stamp | None] = {}
        """What was seen of each file that was looked at; None: it was not there."""
        self._watched = False
        """Whether all files are held to what the listing said, and not only those that were read."""
        self._listing: dict[str, Stamp | None] | None = None

    def listing(self) -> Mapping[str, Stamp | None]:
        """Every file with its stamp, as first seen.

        Raises:
            UsageError: a folder of it cannot be looked at.
            ServiceUnreachable: the bucket does not answer.
        """
        if self._listing is None:
            self._listing = self._list()
        return self._listing

    def known_by(self, path: str) -> list[str | int]:
        """What differs once a listed file is another: path, size, and the time of its change or its ETag."""
        return [path, *(self.listing()[path] or ())]

    @abstractmethod
    def written_at(self, path: str) -> datetime:
        """When a listed file came to lie where it does, by the clock of that place.

        Raises:
            Unreadable: it is not there any more.
        """

    def check_unchanged(self) -> None:
        """Compare what is there with what was read and, where pictures were found by listing, with that."""
        now = self._look_again(self._stamps)
        looked_at = {*self._stamps, *filter(counts, now)} if self._watched else self._stamps
        for path in looked_at:
            if now.get(path) != self._stamps.get(path):
                raise self._changed(path)

    def watch(self) -> list[str]:
        """All paths; from now on a file that changes, comes or goes is noticed."""
        self._watched = True
        for path, stamp in self.listing().items():
            if counts(path):
                self._note(path, stamp)
        return list(self.listing())

    def _paths(self) -> Iterable[str]:
        return self.listing()

    def _note(self, path: str, stamp: Stamp | None) -> None:
        """Remember what a file was when it was first seen.

        Raises:
            UsageError: it is something else now.
        """
        if self._stamps.setdefault(path, stamp) != stamp:
            raise self._changed(path)

    @abstractmethod
    def _list(self) -> dict[str, Stamp | None]: ...

    @abstractmethod
    def _look_again(self, paths: Iterable[str]) -> Mapping[str, Stamp | None]:
        """The stamps that ``paths`` have now and, of a delivery that was listed, those of all its files."""


def inner_path(path: str, address: str) -> str:
    """``path`` without ``./``, when it stays below the source.

    Raises:
        UsageError: it is absolute or climbs with ``..``.
    """
    if not ODD.search(path):
        return path
    slashed = path.replace("\\", "/")
    drive = re.match("[A-Za-z]:/", slashed)
    if slashed.startswith("/") or drive or ".." in slashed.split("/") or "\0" in path:
        raise UsageError(
            f"{address} is refused as a whole: the path {path!r} leads out of it. Every path has to be "
            "relative, without '..'."
        )
    return str(PurePosixPath(path))


class FolderSource(WatchedFiles):
    """A folder; links are followed as long as they stay inside."""

    def __init__(self, address: str, root: Path, limits: SourceLimits) -> None:
        super().__init__(address, limits)
        self.root = root.resolve()
        self._places: dict[str, Path] = {}
        """Folder below the root → where it really is, for the folders that are inside."""

    def has_labels(self) -> bool:
        """Whether anything has that name: what is no file there is said when it is read."""
        return os.path.lexists(self.root / LABELS_FILE)

    def open(self, path: str) -> BinaryIO:
        """Open one file for reading here and there in it."""
        try:
            descriptor = self._descriptor(inner_path(path, self.address))
            self._note(path, stamp_of(os.fstat(descriptor)))
            return cast(BinaryIO, os.fdopen(descriptor, "rb"))
        except OSError as error:
            raise Unreadable("unreadable", f"the file cannot be read: {error}") from error

    def written_at(self, path: str) -> datetime:
        """By the inode: a copy may keep the times that the file had where it came from."""
        try:
            return datetime.fromtimestamp((self.root / path).stat().st_ctime, UTC)
        except OSError as error:
            raise Unreadable("missing", "there is no such file") from error

    def _list(self) -> dict[str, Stamp | None]:
        found: dict[str, Stamp | None] = {}
        for folder, _, names in os.walk(self.root, onerror=self._refuse):
            below = folder[len(str(self.root)) + 1 :]
            for name in names:
                path = f"{below}/{name}" if below else name
                found[path] = self._stamp_of(path)
        return found

    def _refuse(self, error: OSError) -> None:
        """Raise: a folder that cannot be looked into is not an empty one."""
        raise UsageError(
            f"{self.address} is refused as a whole: a folder of it cannot be looked into: {error}. Make it "
            "readable."
        ) from error

    def _look_again(self, paths: Iterable[str]) -> Mapping[str, Stamp | None]:
        return self._list() if self._watched else {path: self._stamp_of(path) for path in paths}

    def _stamp_of(self, path: str) -> Stamp | None:
        try:
            found = os.stat(f"{self.root}/{path}")  # noqa: PTH116 - once a picture, and five times cheaper
        except OSError:
            return None
        return stamp_of(found) if stat.S_ISREG(found.st_mode) else None

    def _folders(self) -> set[str]:
        return {path.name for path in self.root.iterdir() if path.is_dir()}

    def _read(self, path: str) -> bytes:
        try:
            with os.fdopen(self._descriptor(path), "rb", buffering=0) as file:
                before = os.fstat(file.fileno())
                self._note(path, stamp_of(before))
                self._check_size(path, before.st_size)
                data = file.read()
                after = os.fstat(file.fileno())
        except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
            raise Unreadable("unreadable", f"the file cannot be read: {error}") from error
        if stamp_of(after) != stamp_of(before) or len(data) != after.st_size:
            raise self._changed(path)
        return data

    def _descriptor(self, path: str) -> int:
        """Open a regular file inside the folder; a pipe is not waited for."""
        folder, _, name = path.rpartition("/")
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            place = self._places.get(folder) or self._inside(folder)
            self._places[folder] = place
            try:
                descriptor = os.open(f"{place}/{name}", flags | os.O_NOFOLLOW)
            except OSError:
                descriptor = os.open(self._inside(path), flags)  # a link; anything else fails again
        except (FileNotFoundError, NotADirectoryError) as error:
            self._note(path, None)
            raise Unreadable("missing", "there is no such file") from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise Unreadable("unreadable", "it is no regular file")
        return descriptor

    def _inside(self, path: str) -> Path:
        place = (self.root / path).resolve()
        if not place.is_relative_to(self.root):
            raise UsageError(
                f"{self.address} is refused as a whole: {path!r} is a link that leads out of it, "
                f"to {place}. Put the file itself there."
            )
        return place


def counts(path: str) -> bool:
    """Whether a file belongs to the delivery: file managers write others of their own beside it."""
    return path == LABELS_FILE or path.lower().endswith(PARQUET_SUFFIX) or is_picture(path)


def stamp_of(status: os.stat_result) -> Stamp:
    """The stamp of a file on this machine."""
    return status.st_size, status.st_mtime_ns
