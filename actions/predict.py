"""Ask the running service about photographs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx

from actions.result import ActionResult
from materializers.errors import ServiceUnreachable
from materializers.release import Environment
from pipelines.config import Config
from steps.deployment.deployer import active_deployer
from steps.inference.champion import live_release

TIMEOUT_S = 30.0
WRONG_INPUT = 2


def predict_photos(config: Config, photos: tuple[str, ...], environment: Environment) -> ActionResult:
    """Label, probability and latency (milliseconds, round trip) of each photograph.

    Raises:
        UsageError: nothing is live.
        ServiceUnreachable: the service does not answer, or something else does in its place.
    """
    deployer, live = active_deployer(), live_release(config.product.model, environment)
    url = live.url
    if url is None:
        raise ServiceUnreachable("The live release has no URL: python run.py --status")
    with deployer.connect(live) as client:
        answers = [_ask(client, url, Path(photo)) for photo in photos]
    _require_what_was_released(config, environment)
    bad = [f"{answer['photo']}: {answer['error']}" for answer in answers if "error" in answer]
    return ActionResult(
        action="predict",
        status="failed" if bad else "done",
        reasons=tuple(bad),
        details={"url": url, "predictions": answers},
        exit_code=WRONG_INPUT if bad else 0,
    )


def _require_what_was_released(config: Config, environment: Environment) -> None:
    """Trust no answer of what is not, by now, the release that is live: another one may have replaced it.

    Raises:
        ServiceUnreachable: something else answers in its place.
    """
    live = live_release(config.product.model, environment)
    if not active_deployer().healthy(live):
        version = live.candidate.version if live.candidate else None
        raise ServiceUnreachable(
            f"What answers at {live.url} is not version {version} as it was released, or was changed since; "
            "its predictions are not shown. Release it again: python run.py --deploy --environment "
            f"{environment} --version {version}"
        )


def _ask(client: httpx.Client, url: str, photo: Path) -> dict[str, Any]:
    try:
        picture = photo.read_bytes()
    except OSError as error:
        return {"photo": str(photo), "error": f"it cannot be read: {error.strerror}"}
    started = time.perf_counter()
    try:
        headers = {"content-type": "application/octet-stream"}
        response = client.post(url, content=picture, headers=headers, timeout=TIMEOUT_S)
    except httpx.HTTPError as error:
        raise ServiceUnreachable(
            f"The service at {url} does not answer ({error}): python run.py --status"
        ) from error
    milliseconds = (time.perf_counter() - started) * 1000
    if response.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
        return {"photo": str(photo), "error": f"its {len(picture):,} bytes are larger than the service takes"}
    if response.status_code == httpx.codes.BAD_REQUEST:
        return {"photo": str(photo), "error": _explanation(response)}
    if not response.is_success:
        raise ServiceUnreachable(
            f"The service at {url} answers {response.status_code} ({_explanation(response)}): "
            "python run.py --status"
        )
    try:
        answer = response.json()["jsonData"]
        version, prediction = answer["model_version"], dict(answer["predictions"][0])
    except (ValueError, LookupError, TypeError) as error:
        raise ServiceUnreachable(
            f"What answers at {url} does not answer with a prediction ({_explanation(response)}): "
            "python run.py --status"
        ) from error
    latency = round(milliseconds, 1)
    return {"photo": str(photo), "model_version": version, "latency_ms": latency, **prediction}


def _explanation(response: httpx.Response) -> str:
    """Reason and message of a Seldon ``status``, or the beginning of any other body."""
    try:
        status = response.json()["status"]
        return f"{status['reason']}: {status['info']}"
    except (ValueError, KeyError, TypeError):
        return " ".join(response.text[:200].split())
