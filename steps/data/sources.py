"""Open a delivery: a folder, a .zip or .tar archive, Parquet files, or any of these in a bucket."""

from __future__ import annotations

import tempfile
import weakref
from pathlib import Path

from materializers.errors import UsageError
from steps.data.archives import TAR_SUFFIXES, TarSource, ZipSource
from steps.data.bucket import S3_SCHEME, S3Source, fetch_archive, split_address
from steps.data.files import (
    DEFAULT_LIMITS,
    PARQUET_SUFFIX,
    FolderSource,
    PictureFiles,
    Source,
    SourceLimits,
)

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
            f"There is no source {address}. Give a folder, a .zip or .tar archive, a "
            f"{PARQUET_SUFFIX} file, or s3://bucket/prefix."
        )
    if path.is_file() and not path.name.lower().endswith((*ARCHIVE_SUFFIXES, PARQUET_SUFFIX)):
        raise UsageError(
            f"The source {address} is a file whose name ends with none of .zip, {', '.join(TAR_SUFFIXES)}, "
            f"{PARQUET_SUFFIX}. Pack labels.csv and the pictures into one of these, or give the folder."
        )
    return path


def open_source(
    address: str, limits: SourceLimits = DEFAULT_LIMITS, *, connections: int = CONNECTIONS
) -> Source:
    """Open a delivery.

    Args:
        address: a folder, an archive, a Parquet file, or ``s3://bucket/`` and the prefix or the key of one.
        limits: what a file may weigh.
        connections: requests at the same time, for a bucket.

    Raises:
        UsageError: there is nothing, it is no such archive or cut short, or a member leads out of it.
        ServiceUnreachable: the bucket does not answer.
    """
    path = find_source(address)
    if path is None:
        return _in_bucket(address, limits, connections)
    if path.is_dir():
        return _by_layout(FolderSource(address, path, limits))
    if path.name.lower().endswith(PARQUET_SUFFIX):
        return _parquet(FolderSource(address, path.parent, limits), [path.name])
    return _archive(address, path, limits)


def _in_bucket(address: str, limits: SourceLimits, connections: int) -> Source:
    """A delivery in a bucket; an archive is copied to this machine for as long as it is used."""
    name = split_address(address)[1].rpartition("/")[2]
    if name.lower().endswith(PARQUET_SUFFIX):
        return _parquet(S3Source(address, limits, connections, only=name), [name])
    if not name.lower().endswith(ARCHIVE_SUFFIXES):
        return _by_layout(S3Source(address, limits, connections))
    folder = tempfile.TemporaryDirectory(prefix="shutterline-delivery-")
    source = _archive(address, fetch_archive(address, Path(folder.name), connections), limits)
    weakref.finalize(source, folder.cleanup)
    return source


def _by_layout(files: PictureFiles) -> Source:
    """A folder, a prefix or an archive as what it holds: pictures, or Parquet files."""
    names = [] if files.has_labels() else files.parquet_files()
    if not names:
        return files
    files.watch()
    return _parquet(files, names)


def _parquet(files: PictureFiles, names: list[str]) -> Source:
    from steps.data.parquet_source import ParquetSource

    return ParquetSource(files.address, files, names, files.limits)


def _archive(address: str, path: Path, limits: SourceLimits) -> Source:
    kind = ZipSource if path.name.lower().endswith(".zip") else TarSource
    return _by_layout(kind(address, path, limits))
