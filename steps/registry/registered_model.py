"""Run the model of a registered version as it is stored now."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from materializers.classifier import fetch_model_directory
from materializers.errors import DamagedArtifact
from materializers.evidence import RegisteredVersion

if TYPE_CHECKING:
    from serving.predictor import Predictor


@contextmanager
def predictor_of(entry: RegisteredVersion) -> Iterator[Predictor]:
    """A registered version's model, on this machine until the context ends.

    Raises:
        DamagedArtifact: the model in the store is not the registered one.
        Refused: what lies in its place is no model, or its entry was altered.
        ServiceUnreachable: the artifact store cannot be read.
    """
    from serving.model_directory import ModelDirectoryError
    from serving.predictor import Predictor

    with tempfile.TemporaryDirectory(prefix="shutterline-registered-") as name:
        folder = Path(name)
        fetch_model_directory(entry.tag("model_uri"), folder)
        try:
            predictor = Predictor.load(folder, expected_digest=entry.tag("model_digest"))
        except ModelDirectoryError as error:
            raise DamagedArtifact(
                f"The model of version {entry.version} cannot be compared with: {error}. Put the previous "
                "release back: python run.py --rollback"
            ) from error
        yield predictor
