"""Ask a served model which version and model it is, and have it classify a picture."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import httpx

from materializers.errors import ServiceBusy
from serving.launching import READINESS, says_ready
from serving.synthetic import SYNTHETIC

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PROBE_SIDE = 64  # pixels
NO_PREDICTION = (httpx.HTTPError, ValueError, LookupError, TypeError)
"""What :func:`predict` raises: no answer, an error, or an answer that is no prediction."""
BUSY = httpx.codes.TOO_MANY_REQUESTS


def is_ready(
    connect: Callable[[], httpx.Client],
    base_url: str,
    version: str,
    model_digest: str,
    *,
    path: str = READINESS,
) -> bool:
    """Whether what serves below ``base_url`` is ready, as this version with this model; ``path`` tells it."""
    try:
        with connect() as client:
            answer = client.get(f"{base_url}{path}")
        said = answer.json()
        return says_ready(answer.status_code, said, model_version=version, model_digest=model_digest)
    except NO_PREDICTION:
        return False


def predict(
    connect: Callable[[], httpx.Client], url: str, *, headers: Mapping[str, str] | None = None
) -> str:
    """Send a small picture, with more ``headers``, and return the version that classified it.

    Raises:
        httpx.HTTPError: no answer, or an error.
        LookupError, TypeError, ValueError: the answer is not a prediction.
    """
    from PIL import Image

    picture = io.BytesIO()
    Image.radial_gradient("L").resize((PROBE_SIDE, PROBE_SIDE)).convert("RGB").save(picture, "PNG")
    sent = {"content-type": "application/octet-stream", **SYNTHETIC, **(headers or {})}
    with connect() as client:
        answer = client.post(url, content=picture.getvalue(), headers=sent).raise_for_status()
    data = answer.json()["jsonData"]
    data["predictions"][0]["label"]
    return str(data["model_version"])


def predicted(
    connect: Callable[[], httpx.Client], url: str, *, headers: Mapping[str, str] | None = None
) -> str | None:
    """The version that classified a small picture; None where nothing came back, or no prediction.

    Raises:
        ServiceBusy: there was no answer in time, or a 429: whoever serves may be well.
    """
    try:
        return predict(connect, url, headers=headers)
    except httpx.TimeoutException as error:
        raise ServiceBusy(f"{url} did not answer a picture in time") from error
    except NO_PREDICTION as error:
        if isinstance(error, httpx.HTTPStatusError) and error.response.status_code == BUSY:
            raise ServiceBusy(f"{url} answered a picture that it is overloaded ({BUSY})") from error
        return None
