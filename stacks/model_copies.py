"""A deployer's own copies of models, each in a folder named by its digest."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from uuid import uuid4

from materializers.errors import ServiceUnreachable
from materializers.evidence import PresentModel
from materializers.present_model import fetch_model
from serving.model_directory import ModelDirectoryError, model_digest

INCOMPLETE = ".part-"


class ModelCopies:
    """Model directories below ``folder/models``."""

    def __init__(self, folder: Path) -> None:
        self._directory = folder / "models"

    def path(self, digest: str) -> Path:
        """Where the copy with this digest lies."""
        return self._directory / digest

    def fetch(self, uri: str) -> PresentModel:
        """Copy a model directory from the artifact store and return what arrived.

        Raises:
            ServiceUnreachable: it cannot be read there, or not written here.
            Refused: it is no model directory.
        """
        incoming = self._directory / f"{INCOMPLETE}{uuid4().hex}"
        try:
            digest = fetch_model(uri, incoming, model_digest).digest
            if self.whole(digest) is None:
                shutil.rmtree(self.path(digest), ignore_errors=True)
                incoming.rename(self.path(digest))
        except OSError as error:
            raise ServiceUnreachable(f"{self._directory} cannot hold the model of {uri}: {error}") from error
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
        return PresentModel(self.path(digest), digest)

    def whole(self, wanted: str) -> PresentModel | None:
        """The copy that is named ``wanted``; None where there is none, or its bytes have another digest."""
        try:
            digest = model_digest(self.path(wanted))
        except ModelDirectoryError:
            return None
        return PresentModel(self.path(wanted), digest) if digest == wanted else None

    def prune(self, keep: Collection[str]) -> None:
        """Remove copies that no release needs, and what a killed command left."""
        if self._directory.is_dir():
            for path in self._directory.iterdir():
                if path.name not in keep:
                    shutil.rmtree(path, ignore_errors=True)
