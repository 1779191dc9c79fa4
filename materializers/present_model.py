"""The model directory of a version as the artifact store holds it now, with the digest of its bytes.

How a model directory is digested says ``serving``, which nothing here imports: whoever asks brings it along.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from materializers.classifier import fetch_model_directory
from materializers.errors import Refused
from materializers.evidence import PresentModel

DigestOf = Callable[[Path], str]
"""The digest of a model directory; raises a ``ValueError`` of what is none."""


def fetch_model(model_uri: str, target: Path, digest_of: DigestOf) -> PresentModel:
    """Copy a model directory out of the artifact store, and digest what arrived.

    Args:
        model_uri: the directory in the store.
        target: a local folder, made where it is not there.
        digest_of: see :data:`DigestOf`.

    Raises:
        ServiceUnreachable: the store cannot be read, or the model is gone from it.
        Refused: it is not a model directory.
    """
    fetch_model_directory(model_uri, target)
    try:
        return PresentModel(target, digest_of(target))
    except ValueError as error:
        raise Refused(
            f"What lies at {model_uri} is no model: {error}. Train again: python run.py --train --source PATH"
        ) from error


@contextmanager
def present_model(model_uri: str, digest_of: DigestOf) -> Iterator[PresentModel]:
    """The model directory, on this machine until the context ends.

    Raises:
        ServiceUnreachable: the store cannot be read, or the model is gone from it.
        Refused: it is not a model directory.
    """
    with tempfile.TemporaryDirectory() as folder:
        yield fetch_model(model_uri, Path(folder), digest_of)
