"""How a microservice is started and known to be ready: ``python -m serving.launcher …``, wherever it runs.

Both deployers and the measurement of what serving costs start it; this says what they have in common.
"""

import contextlib
import json
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LAUNCHER = ("-m", "serving.launcher")
PREDICTIONS = "/api/v1.0/predictions"
"""Where pictures are sent, below a release's base URL."""
PREDICTIONS_TOO = ("/api/v0.1/predictions", "/predict")
"""Where Seldon's microservice takes the same: its older clients' path, and that of its graphs."""
FEEDBACK_PATHS = ("/api/v1.0/feedback", "/api/v0.1/feedback", "/send-feedback")
"""Where it takes feedback."""
READINESS = "/health/status"
# A server needs no more of the caller's environment: no PYTHON* of the pipelines, no credentials.
PASSED_ON = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
DEFAULT_QUEUE = 32
"""Requests that wait for one of a service's workers before the next gets a 429; an ingress before it that
bounds requests itself lets in no more than these and the workers together."""
DEFAULT_QUEUE_WAIT_S = 2.0
PORTS = range(12_000, 32_000)
"""Below those that Linux gives to clients (from 32,768 on): a connection of somebody else's would take one of
those between the question whether it is free and the start of the server that is to listen there, or while
that is down.
"""
LAST_LINES = 12
POLL_S = 0.05
"""Between two questions whether it is ready: the start-up is measured to about as much."""


def launcher_arguments(
    *,
    model_name: str,
    model_version: str,
    model_directory: str,
    model_digest: str,
    host: str,
    port: int,
    metrics_port: int,
    max_body_bytes: int,
    workers: int | None = None,
    queue: int | None = None,
    queue_wait_s: float | None = None,
    token_file: str | None = None,
) -> list[str]:
    """What the launcher is told, so that it serves exactly this version and this model.

    Args:
        model_name: in metrics and in what it says of its health.
        model_version: likewise, and in each answer.
        model_directory: holds the model.
        model_digest: that the model must have.
        host: address of both ports; off loopback the launcher demands a ``token_file`` or certificates.
        port: REST.
        metrics_port: Prometheus, and health.
        max_body_bytes: of a request.
        workers: requests that are answered at a time; None: the cores that it may use.
        queue: requests that may wait for that; None: ``DEFAULT_QUEUE``.
        queue_wait_s: how long one may wait; None: ``DEFAULT_QUEUE_WAIT_S``.
        token_file: with the tokens that it accepts; None: it asks for none.
    """
    values = {
        "model_directory": model_directory,
        "model_digest": model_digest,
        "model_version": model_version,
        "model_name": model_name,
    }
    parameters = [{"name": name, "value": value, "type": "STRING"} for name, value in values.items()]
    options = {
        "--host": host,
        "--port": port,
        "--metrics-port": metrics_port,
        "--max-body-bytes": max_body_bytes,
        "--workers": workers,
        "--queue": queue,
        "--queue-wait-s": queue_wait_s,
        "--token-file": token_file,
        "--parameters": json.dumps(parameters),
    }
    given = {option: value for option, value in options.items() if value is not None}
    return [str(part) for pair in given.items() for part in pair]


def passed_on() -> dict[str, str]:
    """What a server gets of this process's environment."""
    return {key: os.environ[key] for key in PASSED_ON if key in os.environ}


def free_port(host: str) -> int:
    """A TCP port of this machine that nothing listens on now, of :data:`PORTS`."""
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return port


def free_ports(host: str) -> tuple[int, int]:
    """Two of :func:`free_port`: for predictions, and for metrics."""
    first = second = free_port(host)
    while second == first:
        second = free_port(host)
    return first, second


def says_ready(status: int, answer: Any, *, model_version: str, model_digest: str) -> bool:
    """Whether an answer of ``READINESS`` is: ready, as this version with this model.

    Args:
        status: the HTTP status.
        answer: the body, parsed as JSON.
        model_version: the version, as the launcher was told it.
        model_digest: of its model directory.

    Raises:
        LookupError, TypeError: it is no answer of the microservice.
    """
    if status != 200:  # noqa: PLR2004 - HTTP's OK
        return False
    said = answer["jsonData"]
    return bool((said["model_version"], said["model_digest"]) == (model_version, model_digest))


def wait_until_ready(
    process: subprocess.Popen[bytes], is_ready: Callable[[], bool], *, timeout_s: float, setting: str
) -> str | None:
    """Wait until a microservice that was started here is ready.

    Args:
        process: its own.
        is_ready: asks it.
        timeout_s: how long it may take.
        setting: that says so, for the reason.

    Returns:
        None, or what happened instead.
    """
    until = time.monotonic() + timeout_s
    while not is_ready():
        if process.poll() is not None:
            return f"ended with exit code {process.returncode} before it was ready"
        if time.monotonic() > until:
            return f"was not ready within {timeout_s:g} s (setting {setting})"
        time.sleep(POLL_S)
    return None


def last_lines(log: Path, count: int = LAST_LINES) -> str:
    """The end of a log, for an error message."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return "(no log)"
    return "\n".join(lines[-count:]) or "(the log is empty)"
