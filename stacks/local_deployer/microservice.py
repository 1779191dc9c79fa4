"""One Seldon microservice process: how it is started, and how it shows that it answers."""

from __future__ import annotations

import subprocess
from pathlib import Path
from uuid import uuid4

from materializers.errors import ServiceFailed, UsageError
from materializers.release import Arm
from serving.capture_options import CaptureSettings, capture_arguments
from serving.launching import (
    LAUNCHER,
    PREDICTIONS,
    free_ports,
    last_lines,
    launcher_arguments,
    wait_until_ready,
)
from stacks import probing
from stacks.local_deployer import loopback, processes
from stacks.local_deployer.flavor import PROJECT
from stacks.local_deployer.state import HOST, Replica
from stacks.probing import NO_PREDICTION


def new_replica(environment: str, version: int) -> Replica:
    """Name a replica and choose free ports of this machine for it."""
    port, metrics_port = free_ports(HOST)
    name = f"{environment}-v{version}-{uuid4().hex[:8]}"
    return Replica(name=name, port=port, metrics_port=metrics_port)


def start(
    replica: Replica,
    arm: Arm,
    *,
    model_name: str,
    model: Path,
    python: Path,
    max_body_bytes: int,
    queue: int,
    site: Path,
    capture: CaptureSettings | None,
) -> subprocess.Popen[bytes]:
    """Start the microservice of one version from a model directory; ``capture`` is what it keeps.

    Raises:
        UsageError: the serving environment is not there.
    """
    if not python.exists():
        raise UsageError(f"The serving environment has no {python}. Build it: make setup")
    arguments = launcher_arguments(
        model_name=model_name,
        model_version=str(arm.version),
        model_directory=str(model),
        model_digest=arm.model_digest,
        host=HOST,
        port=replica.port,
        metrics_port=replica.metrics_port,
        max_body_bytes=max_body_bytes,
        queue=queue,
    )
    kept = capture_arguments(capture) if capture is not None else []
    command = [str(python), *LAUNCHER, *arguments, *kept]
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
    happened = wait_until_ready(
        process,
        lambda: is_ready(replica.base_url, str(arm.version), arm.model_digest),
        timeout_s=timeout_s,
        setting="`start_timeout_s`",
    )
    if happened is not None:
        raise _failed(replica, arm, site, happened)
    try:
        version = predict(f"{replica.base_url}{PREDICTIONS}")
    except NO_PREDICTION as error:
        raise _failed(replica, arm, site, f"did not answer a picture: {error!r}") from error
    if version != str(arm.version):
        raise _failed(replica, arm, site, f"answered as version {version}")


def _failed(replica: Replica, arm: Arm, site: Path, what: str) -> ServiceFailed:
    log = log_of(replica, site)
    return ServiceFailed(
        f"The microservice of version {arm.version} {what}; what was served before still is. "
        f"Its log, {log}, ends:\n{last_lines(log)}"
    )


def is_ready(base_url: str, version: str, model_digest: str) -> bool:
    """Whether the microservice below ``base_url`` is ready, as this version with this model."""
    return probing.is_ready(loopback.client, base_url, version, model_digest)


def predict(url: str) -> str:
    """Send a small picture and return the version that classified it; see :func:`stacks.probing.predict`."""
    return probing.predict(loopback.client, url)


def predicted(url: str) -> str | None:
    """The version that classified a small picture; see :func:`stacks.probing.predicted`."""
    return probing.predicted(loopback.client, url)
