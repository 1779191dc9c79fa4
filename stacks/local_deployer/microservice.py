"""One Seldon microservice process: how it is started, and how it shows that it answers."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import time
from pathlib import Path
from uuid import uuid4

import httpx
from PIL import Image

from materializers.errors import ServiceFailed, UsageError
from materializers.release import Arm
from stacks.local_deployer import loopback, processes
from stacks.local_deployer.flavor import PROJECT
from stacks.local_deployer.state import Replica

HOST = "127.0.0.1"
POLL_S = 0.05
PROBE_SIDE = 64  # pixels
NO_PREDICTION = (httpx.HTTPError, ValueError, LookupError, TypeError)
"""What :func:`predict` raises: no answer, an error, or an answer that is no prediction."""


def new_replica(environment: str, version: int) -> Replica:
    """Name a replica and choose free ports of this machine for it."""
    with socket.socket() as first, socket.socket() as second:
        first.bind((HOST, 0))
        second.bind((HOST, 0))
        return Replica(
            name=f"{environment}-v{version}-{uuid4().hex[:8]}",
            port=first.getsockname()[1],
            metrics_port=second.getsockname()[1],
        )


def start(
    replica: Replica, arm: Arm, *, model_name: str, model: Path, python: Path, max_body_bytes: int, site: Path
) -> subprocess.Popen[bytes]:
    """Start the microservice of one version from a model directory.

    Raises:
        UsageError: the serving environment is not there.
    """
    if not python.exists():
        raise UsageError(f"The serving environment has no {python}. Build it: make setup")
    values = {
        "model_directory": str(model),
        "model_digest": arm.model_digest,
        "model_version": str(arm.version),
        "model_name": model_name,
    }
    parameters = [{"name": name, "value": value, "type": "STRING"} for name, value in values.items()]
    options = {
        "--host": HOST,
        "--port": replica.port,
        "--metrics-port": replica.metrics_port,
        "--max-body-bytes": max_body_bytes,
        "--parameters": json.dumps(parameters),
    }
    command = [
        str(python),
        "-m",
        "serving.launcher",
        *(str(part) for pair in options.items() for part in pair),
    ]
    return processes.start(replica.name, command, site=site, log=log_of(replica, site), cwd=PROJECT)


def log_of(replica: Replica, site: Path) -> Path:
    """Where the microservice writes."""
    return site / "logs" / f"{replica.name}.log"


def wait_until_it_answers(
    replica: Replica, arm: Arm, process: subprocess.Popen[bytes], *, site: Path, timeout_s: float
) -> None:
    """Wait until the microservice is ready and has answered a real prediction as this version.

    Raises:
        ServiceFailed: it ended, answers otherwise, or took too long; with the end of its log.
    """
    deadline = time.monotonic() + timeout_s
    while not is_ready(f"http://{HOST}:{replica.port}", str(arm.version), arm.model_digest):
        if process.poll() is not None:
            raise _failed(replica, arm, site, f"ended with exit code {process.returncode}")
        if time.monotonic() > deadline:
            raise _failed(
                replica, arm, site, f"was not ready within {timeout_s:g} s (setting `start_timeout_s`)"
            )
        time.sleep(POLL_S)
    try:
        version = predict(f"http://{HOST}:{replica.port}/api/v1.0/predictions")
    except NO_PREDICTION as error:
        raise _failed(replica, arm, site, f"did not answer a picture: {error!r}") from error
    if version != str(arm.version):
        raise _failed(replica, arm, site, f"answered as version {version}")


def _failed(replica: Replica, arm: Arm, site: Path, what: str) -> ServiceFailed:
    log = log_of(replica, site)
    return ServiceFailed(
        f"The microservice of version {arm.version} {what}; what was served before still is. "
        f"Its log, {log}, ends:\n{processes.last_lines(log)}"
    )


def is_ready(base_url: str, version: str, model_digest: str) -> bool:
    """Whether the microservice below ``base_url`` is ready, as this version with this model."""
    try:
        with loopback.client() as client:
            answer = client.get(f"{base_url}/health/status")
        if answer.status_code != httpx.codes.OK:
            return False
        status = answer.json()["jsonData"]
        return (status["model_version"], status["model_digest"]) == (version, model_digest)
    except (httpx.HTTPError, ValueError, LookupError, TypeError):
        return False


def predict(url: str) -> str:
    """Send a small picture and return the version that classified it.

    Raises:
        httpx.HTTPError: no answer, or an error.
        LookupError, TypeError, ValueError: the answer is not a prediction.
    """
    picture = io.BytesIO()
    Image.radial_gradient("L").resize((PROBE_SIDE, PROBE_SIDE)).convert("RGB").save(picture, "PNG")
    headers = {"content-type": "application/octet-stream"}
    with loopback.client() as client:
        answer = client.post(url, content=picture.getvalue(), headers=headers).raise_for_status()
    data = answer.json()["jsonData"]
    data["predictions"][0]["label"]
    return str(data["model_version"])
