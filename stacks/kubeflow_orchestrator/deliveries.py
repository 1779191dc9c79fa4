"""Bring a delivery of this machine to where steps on a cluster can read it: the artifact store."""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from materializers.blobs import upload_file
from materializers.errors import ServiceUnreachable, UsageError
from materializers.store_files import DELIVERIES
from materializers.watched import is_watched

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The date of every packed file, so that the same files are the same archive."""


def bring(source: str, store: BaseArtifactStore) -> str:
    """Give an address of a delivery that is not on this machine's disk.

    A folder is packed; an archive is taken as it is. The object is named by its digest, so that the same
    delivery is uploaded once.

    Args:
        source: a path of this machine, or an address elsewhere, which is given back as it is.
        store: where the copy goes, below ``deliveries/``.

    Raises:
        UsageError: it cannot be read or packed.
        ServiceUnreachable: the store cannot be written.
    """
    if "://" in source:
        return source
    if is_watched(source):
        raise UsageError(
            f"{source} is a folder of this machine, where no step on the cluster can watch it. Have the "
            "deliveries put into a bucket: --source 's3://bucket/prefix/*'"
        )
    path = Path(source).expanduser()
    with tempfile.TemporaryDirectory(prefix="shutterline-delivery-") as folder:
        archive = _pack(path, Path(folder) / "delivery.zip") if path.is_dir() else path
        uri = f"{store.path.rstrip('/')}/{DELIVERIES}/{_digest(archive)[:32]}/{archive.name}"
        try:
            if not store.exists(uri):
                upload_file(store, archive, uri)
        except Exception as error:  # s3fs passes on what botocore, aiohttp and the system raise
            raise ServiceUnreachable(
                f"{source} cannot be uploaded to {store.path}: {type(error).__name__}: {error}. Check the "
                "stack: python -m stacks.apply stacks/kubeflow.yaml --check"
            ) from error
    return uri


def _pack(folder: Path, archive: Path) -> Path:
    """Pack the regular files of a folder, by their paths below it."""
    try:
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    packed.writestr(
                        zipfile.ZipInfo(path.relative_to(folder).as_posix(), EPOCH), path.read_bytes()
                    )
    except (OSError, UnicodeEncodeError) as error:
        raise UsageError(f"{folder} cannot be packed ({error}): pack it into a .zip, or upload it") from error
    return archive


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
