"""The site's own copies of the models that it serves, each in a folder named by its digest."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from uuid import uuid4

from zenml.client import Client
from zenml.io import fileio
from zenml.utils.io_utils import is_remote

from materializers.blobs import write_file
from materializers.errors import Refused, ServiceUnreachable
from serving.model_directory import ModelDirectoryError, model_digest

INCOMPLETE = ".part-"


class ModelCopies:
    """Model directories below ``site/models``."""

    def __init__(self, site: Path) -> None:
        self._directory = site / "models"

    def path(self, digest: str) -> Path:
        """Where the copy with this digest lies."""
        return self._directory / digest

    def fetch(self, uri: str) -> str:
        """Copy a model directory from the artifact store and return the digest of what arrived.

        Raises:
            ServiceUnreachable: it cannot be read there, or not written here.
            Refused: it is no model directory.
        """
        incoming = self._directory / f"{INCOMPLETE}{uuid4().hex}"
        try:
            if is_remote(uri):
                # ZenML reads from a remote store once the store's component is loaded.
                Client().active_stack.artifact_store  # noqa: B018
            # A folder that is not there lists nothing, on disk as on an object store.
            names = [_text(name) for name in fileio.listdir(uri)]
            if not names:
                raise FileNotFoundError("nothing is there")
            for name in names:
                with fileio.open(f"{uri.rstrip('/')}/{name}", "rb") as file:
                    write_file(incoming / Path(name).name, file.read())
            digest = model_digest(incoming)
            if self.digest(digest) != digest:
                shutil.rmtree(self.path(digest), ignore_errors=True)
                incoming.rename(self.path(digest))
        except OSError as error:
            raise ServiceUnreachable(
                f"The model at {uri} cannot be copied from the artifact store: {error}. "
                "Train again where it is gone: python run.py --train"
            ) from error
        except ModelDirectoryError as error:
            raise Refused(
                f"What lies at {uri} is no model: {error}. Train again: python run.py --train"
            ) from error
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
        return digest

    def digest(self, wanted: str) -> str | None:
        """Compute the digest of the copy that is named ``wanted``; None where there is no whole one."""
        try:
            return model_digest(self.path(wanted))
        except ModelDirectoryError:
            return None

    def prune(self, keep: Collection[str]) -> None:
        """Remove copies that no release needs, and what a killed command left."""
        if self._directory.is_dir():
            for path in self._directory.iterdir():
                if path.name not in keep:
                    shutil.rmtree(path, ignore_errors=True)


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name
