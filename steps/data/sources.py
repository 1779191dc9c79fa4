"""Open a delivery: a folder, a .zip or .tar archive, a prefix of a bucket, or an archive in one."""

from __future__ import annotations

import tempfile
import weakref
from pathlib import Path

from materializers.errors import UsageError
from steps.data.archives import TAR_SUFFIXES, TarSource, ZipSource
from steps.data.bucket import S3_SCHEME, S3Source, fetch_archive
from steps.data.files import DEFAULT_LIMITS, FolderSource, Source, SourceLimits

ARCHIVE_SUFFIXES = (".zip", *TAR_SUFFIXES)
CONNECTIONS = 16
"""Requests to a bucket at the same time: there, waiting costs more than decoding."""


def find_source(address: str) -> Path | None:
    """Where a delivery lies on this machine; None for one in a bucket, which is not asked.

    Raises:
        UsageError: there is nothing, or a file of no kind that is known.
    """
    if address.startswith(S3_SCHEME):
        return None
    path = Path(address).expanduser()
    try:
        there = path.is_dir() or path.is_file()
    except OSError as error:  # a folder that may not be entered, a name too long
        raise UsageError(f"The source {address} cannot be looked at: {error.strerror}.") from error
    if not there:
        raise UsageError(
            f"There is no source {address}. Give a folder, a .zip or .tar archive, or s3://bucket/prefix."
        )
    if path.is_file() and not path.name.lower().endswith(ARCHIVE_SUFFIXES):
        raise UsageError(
            f"The source {address} is a file whose name ends with none of .zip, {', '.join(TAR_SUFFIXES)}. "
            "Pack labels.csv and the pictures into one of these, or give the folder."
        )
    return path


def open_source(
    address: str, limits: SourceLimits = DEFAULT_LIMITS, *, connections: int = CONNECTIONS
) -> Source:
    """Open a delivery.

    Args:
        address: a folder, an archive, ``s3://bucket/prefix`` or ``s3://bucket/archive.zip``.
        limits: what a file may weigh.
        connections: requests at the same time, for a bucket.

    Raises:
        UsageError: there is nothing, it is no such archive or cut short, or a member leads out of it.
    """
    path = find_source(address)
    if path is None:
        return _in_bucket(address, limits, connections)
    if path.is_dir():
        return FolderSource(address, path, limits)
    return _archive(address, path, limits)


def _in_bucket(address: str, limits: SourceLimits, connections: int) -> Source:
    """A delivery in a bucket; an archive is copied to this machine for as long as it is used."""
    if not address.lower().endswith(ARCHIVE_SUFFIXES):
        return S3Source(address, limits, connections)
    folder = tempfile.TemporaryDirectory(prefix="shutterline-delivery-")
    source = _archive(address, fetch_archive(address, Path(folder.name)), limits)
    weakref.finalize(source, folder.cleanup)
    return source


def _archive(address: str, path: Path, limits: SourceLimits) -> Source:
    kind = ZipSource if path.name.lower().endswith(".zip") else TarSource
    return kind(address, path, limits)
