"""Deliveries in one file: .zip and .tar, read member by member without unpacking them into a folder."""

from __future__ import annotations

import lzma
import os
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import IO, Any

from materializers.errors import UsageError
from steps.data.files import Source, SourceLimits, Unreadable, inner_path
from steps.data.labels import LABELS_FILE

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
TAR_BLOCK = 512


class ArchiveSource(Source):
    """What both kinds of archive share: members by name, and perhaps one folder around all of them."""

    members: dict[str, Any]

    def _find_top(self) -> None:
        """Let paths count from the one top folder that many tools pack, if labels.csv is there."""
        found = [name for name in self.members if PurePosixPath(name).name == LABELS_FILE]
        tops = [name for name in found if len(PurePosixPath(name).parts) == 2]  # noqa: PLR2004 - folder, file
        if LABELS_FILE in found or len(tops) != 1:
            return
        top = f"{PurePosixPath(tops[0]).parent}/"
        self.members = {
            n.removeprefix(top): member for n, member in self.members.items() if n.startswith(top)
        }

    def _paths(self) -> Iterable[str]:
        return self.members

    def _member(self, path: str) -> Any:
        if path not in self.members:
            raise Unreadable("missing", "the archive has no such file")
        return self.members[path]

    def _no_archive(self, error: Exception) -> UsageError:
        kind = "zip" if isinstance(self, ZipSource) else "tar"
        return UsageError(
            f"The source {self.address} is no {kind} archive, or cut short: {error}. Send it anew."
        )

    def _special(self, name: str, what: str) -> UsageError:
        return UsageError(
            f"{self.address} is refused as a whole: its member {name!r} is {what}. Only files and folders "
            "belong into a delivery: pack it without."
        )


class ZipSource(ArchiveSource):
    """A .zip archive."""

    def __init__(self, address: str, path: Path, limits: SourceLimits) -> None:
        super().__init__(address, limits)
        try:
            self.archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise self._no_archive(error) from error
        self.members: dict[str, zipfile.ZipInfo] = {}
        for member in self.archive.infolist():
            name = inner_path(member.filename, address)
            if stat.S_ISLNK(member.external_attr >> 16):
                raise self._special(name, "a link")
            if member.flag_bits & 0x1:
                raise self._special(name, "encrypted")
            if not member.is_dir():
                self.members[name] = member
        self._find_top()

    def _read(self, path: str) -> bytes:
        member = self._member(path)
        self._check_size(path, member.file_size)  # zipfile reads no more than this, whatever the data says
        try:
            return self.archive.read(member)
        except (
            zipfile.BadZipFile,
            zlib.error,
            lzma.LZMAError,
            EOFError,
            OSError,
            NotImplementedError,
        ) as error:
            raise Unreadable("truncated", f"the archive is damaged here: {error}") from error

    def close(self) -> None:
        """Close the archive."""
        self.archive.close()


class TarSource(ArchiveSource):
    """A .tar archive; one that is compressed is unpacked once, into a file without a name."""

    def __init__(self, address: str, path: Path, limits: SourceLimits) -> None:
        super().__init__(address, limits)
        self.members: dict[str, tuple[int, int]] = {}
        """Name → offset of its bytes (-1: too large, not unpacked) and size."""
        self.file: IO[bytes] = path.open("rb")
        try:
            plain = path.name.lower().endswith(".tar")
            self._list_plain() if plain else self._unpack(self.file)
        except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
            self.close()
            raise self._no_archive(error) from error
        except OSError as error:
            self.close()
            if error.errno is None:  # so gzip and bz2 speak of bad data
                raise self._no_archive(error) from error
            raise
        except UsageError:
            self.close()
            raise
        self._find_top()

    def _list_plain(self) -> None:
        with tarfile.open(fileobj=self.file, mode="r:") as archive:
            for member in archive:
                name = self._checked(member)
                if member.isreg():
                    self.members[name] = (member.offset_data, member.size)
            end = archive.offset
        if os.pread(self.file.fileno(), TAR_BLOCK, end) != bytes(TAR_BLOCK):
            raise tarfile.ReadError("its end marker is missing")

    def _unpack(self, packed: IO[bytes]) -> None:
        self.file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the source
        with packed, tarfile.open(fileobj=packed, mode="r|*") as archive:
            for member in archive:
                name = self._checked(member)
                if not member.isreg():
                    continue
                if member.size > self.limits.of(name):
                    self.members[name] = (-1, member.size)
                    continue
                content = archive.extractfile(member)
                data = content.read() if content else b""
                self.members[name] = (self.file.tell(), len(data))
                self.file.write(data)
        self.file.flush()

    def _checked(self, member: tarfile.TarInfo) -> str:
        name = inner_path(member.name, self.address)
        if not (member.isreg() or member.isdir()) or member.issparse():
            raise self._special(name, "a link, a device or another special file")
        return name

    def _read(self, path: str) -> bytes:
        offset, size = self._member(path)
        self._check_size(path, size)
        return os.pread(self.file.fileno(), size, offset)

    def close(self) -> None:
        """Close the archive, and drop what was unpacked."""
        self.file.close()
