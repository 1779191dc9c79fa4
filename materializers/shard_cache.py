"""Copies of an object store's shards on this machine, by digest: bounded, shared by all processes.

A shard never changes, so a copy is never out of date. What does not fit or cannot be written is read without
a copy: the cache is never the reason why a picture is not found.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from materializers.blobs import PIECE

FOLDER_VARIABLE, BYTES_VARIABLE = "SHUTTERLINE_CACHE_DIR", "SHUTTERLINE_CACHE_BYTES"
DEFAULT_BYTES = 20 * 10**9
COPY, PART = ".arrow", ".part"
LOCKS = 64
"""Files that processes lock while they fetch, so that few shards share one."""
ABANDONED_S = 3600
"""After this time a part of a copy is a killed process's."""


class OpenFile:
    """An open file, read at any place; fewer bytes come where it ends before."""

    def __init__(self, descriptor: int, *, trusted: bool = False) -> None:
        """Take an open file.

        Args:
            descriptor: of the file; whoever opened it closes it.
            trusted: its bytes were verified just now.
        """
        self._descriptor, self.trusted = descriptor, trusted

    def read(self, offset: int, size: int) -> bytes:
        """Read ``size`` bytes at an offset."""
        return os.pread(self._descriptor, size, offset)

    def size(self) -> int:
        """Bytes of the file."""
        return os.fstat(self._descriptor).st_size

    def pieces(self) -> Iterator[memoryview]:
        """The file piece by piece, each in the place of the one before."""
        piece, offset = memoryview(bytearray(PIECE)), 0
        while size := os.preadv(self._descriptor, [piece], offset):
            yield piece[:size]
            offset += size


class OpenBytes:
    """The bytes of a file that need no check, read as it is."""

    trusted = True

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = data

    def read(self, offset: int, size: int) -> bytes:
        """Read ``size`` bytes at an offset of the file."""
        return bytes(self._data[offset : offset + size])


class ShardCache:
    """A folder of shards; those used least recently make room for others.

    Args:
        folder: where copies lie; it is made when it is needed.
        max_bytes: of all copies together.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder, self.max_bytes = folder, max_bytes

    @classmethod
    def of_this_machine(cls) -> ShardCache:
        """The cache that the environment names: ``SHUTTERLINE_CACHE_DIR``, ``SHUTTERLINE_CACHE_BYTES``.

        Raises:
            ValueError: the number of bytes is no whole number.
        """
        folder = os.environ.get(FOLDER_VARIABLE)
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        size = os.environ.get(BYTES_VARIABLE) or DEFAULT_BYTES
        return cls(Path(folder) if folder else Path(caches) / "shutterline" / "shards", int(size))

    def has(self, digest: str) -> bool:
        """Whether there is a copy now."""
        return self._path(digest).exists()

    @contextmanager
    def opened(
        self, digest: str, download: Callable[[Path], None], fetch: Callable[[], bytes | bytearray]
    ) -> Iterator[OpenFile | OpenBytes]:
        """Open a shard's copy, which is fetched where there is none: by one process, for which others wait.

        Args:
            digest: the shard's name.
            download: writes it to a file, and verifies it.
            fetch: gives its verified bytes, where no file can be written.
        """
        file, trusted = self._open(digest), False
        if file is None:
            with self._alone(f"{int(digest[:8], 16) % LOCKS:02d}"):
                file = self._open(digest)  # another process may have been faster
                if file is None:
                    file, trusted = self._downloaded(digest, download), True
        if file is None:
            yield OpenBytes(fetch())
            return
        try:
            yield OpenFile(file, trusted=trusted)
        finally:
            os.close(file)

    def remove(self, digests: Iterable[str]) -> list[Path]:
        """Remove the copies of these shards.

        Returns:
            The files that there were.
        """
        removed = []
        for path in map(self._path, digests):
            with suppress(FileNotFoundError):
                path.unlink()
                removed.append(path)
        return removed

    def _path(self, digest: str) -> Path:
        return self.folder / f"{digest}{COPY}"

    def _open(self, digest: str) -> int | None:
        """A descriptor stays readable when the copy has to make room; opening it counts as use."""
        try:
            file = os.open(self._path(digest), os.O_RDONLY)
        except OSError:
            return None
        with suppress(OSError):
            os.utime(file)
        return file

    @contextmanager
    def _alone(self, lock: str) -> Iterator[None]:
        """Hold a lock of all processes; do without where none can be made."""
        with ExitStack() as stack:
            with suppress(OSError):
                self.folder.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context((self.folder / f".lock-{lock}").open("w"))
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _downloaded(self, digest: str, download: Callable[[Path], None]) -> int | None:
        """Make a copy and open it; None where none can be made.

        It is not flushed: one that a power cut damages is found when it is read.
        """
        if not self.max_bytes:
            return None
        part = self.folder / f".{digest}.{uuid4().hex}{PART}"
        try:
            download(part)
            self._keep(part, self._path(digest))
            return self._open(digest) or os.open(part, os.O_RDONLY)
        except OSError:
            return None
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def _keep(self, part: Path, path: Path) -> None:
        """Give a copy its name, and let others make room; one that is larger than all room is not kept."""
        size = part.stat().st_size
        if size > self.max_bytes:
            return
        with self._alone("room"):
            self._make_room(size)
            part.replace(path)

    def _make_room(self, size: int) -> None:
        """Remove what was used least recently, and what killed processes left."""
        copies = []
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):
                about = path.stat()
                if path.suffix == COPY:
                    copies.append((about.st_mtime, about.st_size, path))
                elif path.suffix == PART and time.time() - about.st_mtime > ABANDONED_S:
                    path.unlink()
        room = self.max_bytes - size - sum(freed for _, freed, _ in copies)
        for _, freed, path in sorted(copies):
            if room >= 0:
                break
            path.unlink(missing_ok=True)
            room += freed
