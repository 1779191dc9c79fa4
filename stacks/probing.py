"""Ask a served model which version and model it is, and have it classify a picture."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import httpx

from serving.launching import READINESS, says_ready

if TYPE_CHECKING:
    from collections.abc import Callable

PROBE_SIDE = 64  # pixels
NO_PREDICTION = (httpx.HTTPError, ValueError, LookupError, TypeError)
"""What :func:`predict` raises: no answer, an error, or an answer that is no prediction."""


def is_ready(connect: Callable[[], httpx.Client], base_url: str, version: str, model_digest: str) -> bool:
    """Whether what serves below ``base_url`` is ready, as this version with this model."""
    try:
        with connect() as client:
            answer = client.get(f"{base_url}{READINESS}")
        said = answer.json()
        return says_ready(answer.status_code, said, model_version=version, model_digest=model_digest)
    except NO_PREDICTION:
        return False


def predict(connect: Callable[[], httpx.Client], url: str) -> str:
    """Send a small picture and return the version that classified it.

    Raises:
        httpx.HTTPError: no answer, or an error.
        LookupError, TypeError, ValueError: the answer is not a prediction.
    """
    from PIL import Image

    picture = io.BytesIO()
    Image.radial_gradient("L").resize((PROBE_SIDE, PROBE_SIDE)).convert("RGB").save(picture, "PNG")
    headers = {"content-type": "application/octet-stream"}
    with connect() as client:
        answer = client.post(url, content=picture.getvalue(), headers=headers).raise_for_status()
    data = answer.json()["jsonData"]
    data["predictions"][0]["label"]
    return str(data["model_version"])
