"""Ask the running service about photographs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx

from actions.result import ActionResult
from materializers.errors import ServiceUnreachable, UsageError
from materializers.release import Environment
from pipelines.config import Config
from steps.inference.champion import live_release

TIMEOUT_S = 30.0
WRONG_INPUT, BAD_REQUEST, SERVER_ERROR = 2, 400, 500


def predict_photos(config: Config, photos: tuple[str, ...], environment: Environment) -> ActionResult:
    """Label, probability and latency (milliseconds, round trip) of each photograph.

    Raises:
        UsageError: no photograph, or one that is not there; nothing is live.
        ServiceUnreachable: the service does not answer.
    """
    if not photos:
        raise UsageError("--predict takes photographs: python run.py --predict photo.jpg")
    for photo in photos:
        if not Path(photo).is_file():
            raise UsageError(f"There is no photograph at {photo}")
    url = live_release(config.product.model, environment).url
    if url is None:
        raise ServiceUnreachable("The live release has no URL: python run.py --status")
    with httpx.Client(timeout=TIMEOUT_S) as client:
        answers = [_ask(client, url, Path(photo)) for photo in photos]
    bad = [f"{answer['photo']}: {answer['error']}" for answer in answers if "error" in answer]
    return ActionResult(
        action="predict",
        status="failed" if bad else "done",
        reasons=tuple(bad),
        details={"url": url, "predictions": answers},
        exit_code=WRONG_INPUT if bad else 0,
    )


def _ask(client: httpx.Client, url: str, photo: Path) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        response = client.post(
            url, content=photo.read_bytes(), headers={"content-type": "application/octet-stream"}
        )
    except httpx.HTTPError as error:
        raise ServiceUnreachable(
            f"The service at {url} does not answer ({error}): python run.py --status"
        ) from error
    milliseconds = (time.perf_counter() - started) * 1000
    if response.status_code >= SERVER_ERROR:
        raise ServiceUnreachable(
            f"The service at {url} answers {response.status_code}: python run.py --status"
        )
    if response.status_code >= BAD_REQUEST:
        reason = response.json().get("status", {}).get("reason") or response.text[:200]
        return {"photo": str(photo), "error": reason}
    answer = response.json()["jsonData"]
    return {
        "photo": str(photo),
        "model_version": answer["model_version"],
        "latency_ms": round(milliseconds, 1),
        **answer["predictions"][0],
    }
