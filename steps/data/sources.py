"""Open a delivery, wherever it lies: a folder, a .zip or .tar archive, or a prefix of a bucket."""

from __future__ import annotations

from pathlib import Path

from materializers.errors import UsageError
from steps.data.archives import TAR_SUFFIXES, TarSource, ZipSource
from steps.data.bucket import S3_SCHEME, S3Source
from steps.data.files import DEFAULT_LIMITS, FolderSource, Source, SourceLimits

CONNECTIONS = 16
"""Requests to a bucket at the same time: there, waiting costs more than decoding."""


def open_source(
    address: str, limits: SourceLimits = DEFAULT_LIMITS, *, connections: int = CONNECTIONS
) -> Source:
    """Open a delivery.

    Args:
        address: a folder, an archive, or ``s3://bucket/prefix``.
        limits: what a file may weigh.
        connections: requests at the same time, for a bucket.

    Raises:
        UsageError: there is nothing, it is no such archive or cut short, or a member leads out of it.
    """
    if address.startswith(S3_SCHEME):
        return S3Source(address, limits, connections)
    path = Path(address).expanduser()
    if path.is_dir():
        return FolderSource(address, path, limits)
    if not path.is_file():
        raise UsageError(
            f"There is no source {address}. Give a folder, a .zip or .tar archive, or s3://bucket/prefix: "
            "--source PATH"
        )
    name = path.name.lower()
    if name.endswith(".zip"):
        return ZipSource(address, path, limits)
    if name.endswith(TAR_SUFFIXES):
        return TarSource(address, path, limits)
    raise UsageError(
        f"The source {address} is a file whose name ends with none of .zip, {', '.join(TAR_SUFFIXES)}. Pack "
        "labels.csv and the pictures into one of these, or give the folder."
    )
