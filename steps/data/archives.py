"""Deliveries in one file: .zip and .tar, read member by member without unpacking them into a folder."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO, cast

from materializers.blobs import room_for
from materializers.errors import UsageError
from steps.data.class_folders import find_wrapper
from steps.data.files import PictureFiles, SourceLimits, Unreadable, inner_path, stamp_of
from steps.data.labels import LABELS_FILE, Labels

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
TAR_BLOCK = 512
CHUNK = 1 << 20
DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,  # among them UnicodeDecodeError: names and numbers of damaged headers
)
"""What the standard library raises on archives that are none or were changed on their way."""
COMPRESSIONS: dict[bytes, Callable[[IO[bytes]], IO[bytes]]] = {
    b"\x1f\x8b": lambda packed: cast(IO[bytes], gzip.GzipFile(fileobj=packed)),
    b"BZh": lambda packed: cast(IO[bytes], bz2.BZ2File(packed)),
    b"\xfd7zXZ": lambda packed: cast(IO[bytes], lzma.LZMAFile(packed)),  # noqa: SIM115 - closed by who opens it
}
"""First bytes → what unpacks them. Unlike tarfile's own, these check the sums at the end."""


class ArchiveSource(PictureFiles):
    """What both kinds of archive share: members by name, and perhaps one folder around all of them."""

    members: dict[str, Any]

    def __init__(self, address: str, path: Path, limits: SourceLimits) -> None:
        super().__init__(address, limits)
        self.path, self.stamp = path, stamp_of(path.stat())
        self.folders: set[str] = set()
        self.hidden: list[tuple[str, Any]] = []
        """Members that are no part of the delivery: one of the same name came later, or they lie beside the
        one top folder."""

    def rows(self) -> Labels:
        """As of any files; without ``labels.csv``, one folder around all class folders is no class."""
        wrapper = None if self.has_labels() else find_wrapper(self.members)
        if wrapper is not None:
            self._strip(f"{wrapper}/")
        return super().rows()

    def has_labels(self) -> bool:
        """Whether ``labels.csv`` is a member, at the root or in the one top folder."""
        return LABELS_FILE in self.members

    def open(self, path: str) -> BinaryIO:
        """Open one member, copied into a file without a name, for reading here and there in it."""
        file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 - closed by who opens it
        with room_for(path):  # also where closing has to write what is left
            try:
                self._copy(inner_path(path, self.address), file)
                file.seek(0)
            except BaseException:
                file.close()
                raise
        return file

    def every_file(self, *, but: Collection[str] = ()) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """Each file that was packed with how to read it, those that are no part of the delivery among them.

        Args:
            but: paths below the source that are left out.
        """
        seen = ((name, member) for name, member in self.members.items() if name not in but)
        for name, member in (*seen, *self.hidden):
            yield name, partial(self._bytes, name, member)

    def check_unchanged(self) -> None:
        """Compare the archive with the one that was opened."""
        try:
            now = stamp_of(self.path.stat())
        except OSError:
            now = None
        if now != self.stamp:
            raise self._changed(self.path.name)

    def _find_top(self) -> None:
        """Let paths count from the one top folder that many tools pack, if labels.csv is there."""
        found = [name for name in self.members if PurePosixPath(name).name == LABELS_FILE]
        tops = [name for name in found if len(PurePosixPath(name).parts) == 2]  # noqa: PLR2004 - folder, file
        if LABELS_FILE not in found and len(tops) == 1:
            self._strip(f"{PurePosixPath(tops[0]).parent}/")

    def _strip(self, top: str) -> None:
        self.hidden += [each for each in self.members.items() if not each[0].startswith(top)]
        self.members = {
            n.removeprefix(top): member for n, member in self.members.items() if n.startswith(top)
        }
        self.folders = {name.removeprefix(top) for name in self.folders if name.startswith(top)}

    def _add(self, name: str, member: Any) -> None:
        """List a member; of two with one name the later one is the delivery's."""
        if name in self.members:
            self.hidden.append((name, self.members[name]))
        self.members[name] = member

    def _read(self, path: str) -> bytes:
        return self._bytes(path, self._member(path))

    @abstractmethod
    def _bytes(self, path: str, member: Any) -> bytes: ...

    @abstractmethod
    def _copy(self, path: str, target: BinaryIO) -> None: ...

    def _paths(self) -> Iterable[str]:
        return self.members

    def _folders(self) -> set[str]:
        return {name for name in self.folders if "/" not in name}

    def _member(self, path: str) -> Any:
        if path not in self.members:
            raise Unreadable("missing", "the archive has no such file")
        return self.members[path]

    def _name_of(self, delivered: str, *, folder: bool) -> str:
        """The path of a member below the source; only a folder may be the source itself."""
        name = inner_path(delivered, self.address)
        if name == str(PurePosixPath()) and not folder:
            raise self._special(delivered, "a file without a name")
        return name

    def _no_archive(self, error: Exception) -> UsageError:
        kind = "zip" if isinstance(self, ZipSource) else "tar"
        return UsageError(
            f"The source {self.address} is no {kind} archive, or cut short: {error}. Send it anew."
        )

    def _too_large(self, unpacked: str) -> UsageError:
        return UsageError(
            f"{self.address} is refused as a whole: unpacked it has {unpacked} bytes, and the limit is "
            f"{self.limits.unpacked_bytes:,}. Deliver it in parts."
        )

    def _special(self, name: str, what: str) -> UsageError:
        return UsageError(
            f"{self.address} is refused as a whole: its member {name!r} is {what}. Only files and folders "
            "belong into a delivery: pack it without."
        )


class ZipSource(ArchiveSource):
    """A .zip archive."""

    def __init__(self, address: str, path: Path, limits: SourceLimits) -> None:
        super().__init__(address, path, limits)
        try:
            self.archive = zipfile.ZipFile(path)
        except (*DAMAGE, OSError) as error:
            raise self._no_archive(error) from error
        self.members: dict[str, zipfile.ZipInfo] = {}
        for member in self.archive.infolist():
            name = self._name_of(member.filename, folder=member.filename.endswith("/"))
            if stat.S_ISLNK(member.external_attr >> 16):
                raise self._special(name, "a link")
            if member.flag_bits & 0x1:
                raise self._special(name, "encrypted")
            if member.filename.endswith("/"):  # is_dir() stumbles over a member without a name
                self.folders.add(name)
            else:
                self._add(name, member)
        every = (*self.members.values(), *(member for _, member in self.hidden))
        unpacked = sum(member.file_size for member in every)
        if unpacked > limits.unpacked_bytes:
            self.close()
            raise self._too_large(f"{unpacked:,}")
        self._find_top()

    def _bytes(self, path: str, member: zipfile.ZipInfo) -> bytes:
        self._check_size(path, member.file_size)  # zipfile reads no more than this, whatever the data says
        try:
            return self.archive.read(member)
        except (*DAMAGE, OSError) as error:
            raise Unreadable("truncated", f"the archive is damaged here: {error}") from error

    def _copy(self, path: str, target: BinaryIO) -> None:
        member = self._member(path)
        self._check_size(path, member.file_size)
        try:
            with self.archive.open(member) as packed:
                shutil.copyfileobj(packed, target, CHUNK)
        except DAMAGE as error:
            raise Unreadable("truncated", f"the archive is damaged here: {error}") from error

    def close(self) -> None:
        """Close the archive."""
        self.archive.close()


class TarSource(ArchiveSource):
    """A .tar archive; one that is compressed is unpacked once, into a file without a name."""

    def __init__(self, address: str, path: Path, limits: SourceLimits) -> None:
        super().__init__(address, path, limits)
        self.members: dict[str, tuple[int, int]] = {}
        """Name → offset of its bytes (-1: too large, not unpacked) and size."""
        self.file: IO[bytes] = path.open("rb")
        with room_for(f"what {path.name} unpacks to"):  # also where closing has to write what is left
            try:
                plain = path.name.lower().endswith(".tar")
                self._list_plain() if plain else self._unpack(self.file)
            except (*DAMAGE, OSError) as error:
                self.close()
                if getattr(error, "errno", None) is None:  # so gzip and bz2 speak of bad data
                    raise self._no_archive(error) from error
                raise
            except UsageError:
                self.close()
                raise
            except _TooMuch as error:
                self.close()
                raise self._too_large(f"more than {error}") from error
        self._find_top()

    def _list_plain(self) -> None:
        with tarfile.open(fileobj=self.file, mode="r:") as archive:
            for member in archive:
                name = self._checked(member)
                if member.isreg():
                    self._add(name, (member.offset_data, member.size))
            end = archive.offset
        if os.pread(self.file.fileno(), TAR_BLOCK, end) != bytes(TAR_BLOCK):
            raise tarfile.ReadError("its end marker is missing")

    def _unpack(self, packed: IO[bytes]) -> None:
        self.file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the source
        with packed, _unpacked(packed) as plain:
            tail = _Tail(plain, self.limits.unpacked_bytes)
            with tarfile.open(fileobj=cast(IO[bytes], tail), mode="r|") as archive:
                for member in archive:
                    self._keep(archive, member)
            while tail.read(CHUNK):
                pass
            if tail.last != bytes(TAR_BLOCK):
                raise tarfile.ReadError("its end marker is missing")
        self.file.flush()

    def _keep(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        name = self._checked(member)
        if not member.isreg():
            return
        if member.size > self.limits.of(name):
            self._add(name, (-1, member.size))
            return
        self._add(name, (self.file.tell(), member.size))
        content = archive.extractfile(member)
        if content is not None:
            shutil.copyfileobj(content, self.file, CHUNK)

    def _checked(self, member: tarfile.TarInfo) -> str:
        name = self._name_of(member.name, folder=member.isdir())
        if not (member.isreg() or member.isdir()) or member.issparse():
            raise self._special(name, "a link, a device or another special file")
        if member.isdir():
            self.folders.add(name)
        return name

    def _bytes(self, path: str, member: tuple[int, int]) -> bytes:
        offset, size = member
        self._check_size(path, size)
        return os.pread(self.file.fileno(), size, offset)

    def _copy(self, path: str, target: BinaryIO) -> None:
        offset, size = self._member(path)
        self._check_size(path, size)
        for start in range(offset, offset + size, CHUNK):
            target.write(os.pread(self.file.fileno(), min(CHUNK, offset + size - start), start))

    def close(self) -> None:
        """Close the archive, and drop what was unpacked."""
        self.file.close()


class _TooMuch(Exception):
    """A stream has more bytes than it may have; the message says how many were read."""


class _Tail:
    """A stream that is read once, up to a limit, and remembers its last block."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self.stream, self.limit, self.last = stream, limit, b""
        self.read_so_far = 0

    def read(self, size: int) -> bytes:
        """The next bytes; none at the end.

        Raises:
            _TooMuch: there are more than the limit.
        """
        data = self.stream.read(size)
        self.read_so_far += len(data)
        if self.read_so_far > self.limit:
            raise _TooMuch(f"{self.read_so_far:,}")
        self.last = (self.last + data[-TAR_BLOCK:])[-TAR_BLOCK:]
        return data


def _unpacked(packed: IO[bytes]) -> IO[bytes]:
    """The stream inside a compressed file, whatever the file's name says.

    Raises:
        tarfile.ReadError: no compression that is known here.
    """
    start = packed.read(max(map(len, COMPRESSIONS)))
    packed.seek(0)
    for magic, unpack in COMPRESSIONS.items():
        if start.startswith(magic):
            return unpack(packed)
    raise tarfile.ReadError("it is compressed with neither gzip, bzip2 nor xz")
