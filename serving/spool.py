"""The files in which a service leaves what it captured until a shipper takes them.

``<spool>/<environment>/<model>/<name>.jsonl``, one line a request. Who writes a file holds a lock on it
(flock), which ends with the process however it ends: a file that can be locked is closed, and the shipper's.
Who may still write, between two files too, holds a lock on a mark beside them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

SUFFIX = ".jsonl"
NEW = ".new"
"""Of a file that is not locked yet; what is older than ``NEW_S`` was left by a process that was killed."""
WRITER = ".writer"
"""Of the mark of one that may still write."""
NEW_S = 60.0
DEFAULT_ROTATE_S = 60.0
DEFAULT_LIMIT_BYTES = 1_000_000_000
ROTATE_BYTES = 32_000_000
"""A file that has so many is closed before its time: a shipper holds one in memory."""


class Stream(NamedTuple):
    """Whose captures a folder of a spool holds."""

    environment: str
    model_name: str


class SpoolWriter:
    """Appends lines to one file after another; for one thread of one process."""

    def __init__(
        self,
        folder: Path,
        *,
        rotate_s: float = DEFAULT_ROTATE_S,
        limit_bytes: int = DEFAULT_LIMIT_BYTES,
    ) -> None:
        """Open nothing yet.

        Args:
            folder: of the environment and the model, in the spool.
            rotate_s: after so many seconds a file is closed, so that it can be shipped.
            limit_bytes: of all files of the folder; the oldest are dropped when there would be more.
        """
        self._folder = folder
        self._rotate_s = rotate_s
        self._limit_bytes = limit_bytes
        self._mark: tuple[int, Path] | None = None
        self._file: int | None = None
        self._size = 0
        self._opened = 0.0

    def begin(self) -> None:
        """Say that lines will come: until :meth:`end` whoever asks :func:`is_written` is told so.

        Raises:
            OSError: it cannot be said, as on a full disk.
        """
        self._mark = self._locked(f"{uuid4().hex}{WRITER}", hidden=True)

    def end(self) -> None:
        """Close the file, and say that no more will come."""
        self.close()
        if self._mark is not None:
            file, path = self._mark
            path.unlink(missing_ok=True)
            os.close(file)
            self._mark = None

    def write(self, lines: Sequence[bytes]) -> int:
        """Append lines, all or none of them, and close the file when its time has come.

        Returns:
            How many lines of older files were dropped to keep within the limit.

        Raises:
            OSError: they cannot be written, as on a full disk; what was written before stays.
        """
        dropped = 0
        if lines:
            if self._file is None:
                self._open()
                dropped = drop_oldest(self._folder, self._limit_bytes)
            self._append(b"".join(lines))
        if self._file is not None and (
            self._size >= ROTATE_BYTES or time.monotonic() - self._opened >= self._rotate_s
        ):
            self.close()
        return dropped

    def close(self) -> None:
        """Close the file that is open, if there is one: it is the shipper's now."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> None:
        name = f"{time.time_ns()}-{os.getpid()}-{uuid4().hex[:8]}{SUFFIX}"
        self._file, _ = self._locked(name)
        self._size, self._opened = 0, time.monotonic()

    def _locked(self, name: str, *, hidden: bool = False) -> tuple[int, Path]:
        """Make a file that is locked from the moment on that it has its name."""
        self._folder.mkdir(parents=True, exist_ok=True)
        new, path = self._folder / f".{name}{NEW}", self._folder / f"{'.' if hidden else ''}{name}"
        file = os.open(new, os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            new.rename(path)
        except OSError:
            os.close(file)
            raise
        return file, path

    def _append(self, data: bytes) -> None:
        file = self._file
        assert file is not None  # noqa: S101 - for the type checker: write() opened it
        done = 0
        try:
            while done < len(data):
                done += os.write(file, data[done:])
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(file, self._size)
            self.close()  # a line that could not be cut off is the last one of its file
            raise
        self._size += done


def streams(spool: Path) -> list[Stream]:
    """Whose captures a spool holds."""
    return sorted(
        Stream(environment.name, model.name)
        for environment in _folders(spool)
        for model in _folders(environment)
    )


def folder_of_stream(spool: Path, stream: Stream) -> Path:
    """Where in the spool its files lie."""
    return spool / stream.environment / stream.model_name


def files_of(folder: Path) -> list[Path]:
    """The files of one stream, the oldest first, also that which is written now."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(path for path in folder.iterdir() if path.suffix == SUFFIX and path.name[0] != ".")
    return []


@contextlib.contextmanager
def taken(path: Path) -> Iterator[bytes | None]:
    """Hold a closed file and give its content; None where it is written still, taken by another, or gone."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        # Whoever held it before may have shipped and removed it since it was opened here.
        yield path.read_bytes() if path.exists() else None
    finally:
        os.close(file)


def is_written(spool: Path) -> bool:
    """Whether a process writes into a spool now, or may still."""
    for stream in streams(spool):
        folder = folder_of_stream(spool, stream)
        for path in (*folder.glob(f".*{WRITER}"), *files_of(folder)):
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return True
    return False


def drop_oldest(folder: Path, limit_bytes: int) -> int:
    """Remove the oldest closed files of a stream until the rest is within the limit; the lines that went."""
    sizes: dict[Path, int] = {}
    for path in files_of(folder):
        with contextlib.suppress(FileNotFoundError):
            sizes[path] = path.stat().st_size
    dropped, size = 0, sum(sizes.values())
    for path in sizes:
        if size <= limit_bytes:
            break
        with taken(path) as content:
            if content is not None:
                dropped += content.count(b"\n")
                path.unlink(missing_ok=True)
                size -= len(content)
    return dropped


def remove_left(folder: Path) -> None:
    """Remove what processes left that were killed: files that were being opened, and their marks."""
    for path in folder.glob(f".*{WRITER}"):
        with taken(path) as content:
            if content is not None:
                path.unlink(missing_ok=True)
    for path in folder.glob(f".*{NEW}"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > NEW_S:
                path.unlink()


def _folders(parent: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return [path for path in parent.iterdir() if path.is_dir() and path.name[0] != "."]
    return []
