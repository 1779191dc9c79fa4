"""The model directory of a version as the artifact store holds it now."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from materializers.classifier import fetch_model_directory
from materializers.errors import Refused
from materializers.evidence import PresentModel
from serving.model_directory import ModelDirectoryError, model_digest


@contextmanager
def present_model(model_uri: str) -> Iterator[PresentModel]:
    """The model directory, on this machine until the context ends.

    Raises:
        ServiceUnreachable: the store cannot be read, or the model is gone from it.
        Refused: it is not a model directory.
    """
    with tempfile.TemporaryDirectory() as folder:
        fetch_model_directory(model_uri, Path(folder))
        try:
            digest = model_digest(Path(folder))
        except ModelDirectoryError as error:
            raise Refused(
                f"What lies at {model_uri} is no model: {error}. Train again: python run.py --train"
            ) from error
        yield PresentModel(Path(folder), digest)
