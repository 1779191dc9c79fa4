"""Start the service that would serve a model, in its own environment, and end it whatever happens."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from serving.launching import (
    LAUNCHER,
    PREDICTIONS,
    READINESS,
    free_ports,
    last_lines,
    launcher_arguments,
    passed_on,
    says_ready,
    wait_until_ready,
)

PROJECT = Path(__file__).resolve().parents[3]
PYTHON_VARIABLE = "SHUTTERLINE_SERVING_PYTHON"
DEFAULT_PYTHON = ".venv-serving/bin/python"
HOST = "127.0.0.1"
MODEL_NAME, MODEL_VERSION = "examined", "0"
MAX_BODY_BYTES = 32_000_000
ANSWER_TIMEOUT_S = 1.0
PORT_TAKEN = 1
"""The launcher's exit code where it cannot listen: somebody took the port between its choice and its use."""
ATTEMPTS = 3
MEGABYTE = 1e6


class NotServed(Exception):
    """There is no replica to measure; the message says why, and what mends it."""


@dataclass(frozen=True)
class Replica:
    """A service that is ready.

    Args:
        url: where predictions are asked for.
        start_up_s: from the start of the process until it was ready.
        processes: its own, gunicorn's master first.
    """

    url: str
    start_up_s: float
    processes: tuple[psutil.Process, ...]

    def memory_mb(self) -> float:
        """What its processes have resident now, 10⁶ bytes, added up.

        Raises:
            NotServed: one of them is no more.
        """
        with _all_there():
            return sum(process.memory_info().rss for process in self.processes) / MEGABYTE

    def cpu_s(self) -> float:
        """CPU seconds of its processes so far.

        Raises:
            NotServed: one of them is no more.
        """
        with _all_there():
            times = [process.cpu_times() for process in self.processes]
        return sum(each.user + each.system for each in times)


@contextmanager
def _all_there() -> Iterator[None]:
    try:
        yield
    except psutil.NoSuchProcess as error:
        raise NotServed(f"A process of the replica ended while it was measured: {error}") from error


def serving_python(configured: str | None) -> Path:
    """The Python of the serving environment.

    Raises:
        NotServed: there is none.
    """
    named = configured or os.environ.get(PYTHON_VARIABLE) or DEFAULT_PYTHON
    python = PROJECT / Path(named).expanduser()
    if not python.exists():
        raise NotServed(
            f"there is no serving environment: {python} does not exist. Build it with `make setup`, or name "
            f"its Python with --set evaluate.cost.serving_python=PATH or {PYTHON_VARIABLE}"
        )
    return python


@contextmanager
def replica(directory: Path, digest: str, *, python: Path, timeout_s: float) -> Iterator[Replica]:
    """Serve a model directory on loopback, on free ports, until the block is left.

    It ends by the id of its process group, killed: nothing is in flight, and nothing of it is kept. If this
    process is killed itself, the replica ends by itself, because its standard input does.

    Args:
        directory: the model directory.
        digest: that it must have.
        python: of the serving environment.
        timeout_s: within which it is ready.

    Raises:
        NotServed: it did not become ready; with the last lines of its log.
    """
    with tempfile.TemporaryDirectory(prefix="shutterline-replica-") as folder, ExitStack() as running:
        log = Path(folder) / "log"
        for attempt in range(1, ATTEMPTS + 1):
            port, metrics_port = free_ports(HOST)
            begun = time.monotonic()
            process = running.enter_context(_started(directory, digest, python, (port, metrics_port), log))
            happened = wait_until_ready(
                process,
                partial(_ready, port, digest),
                timeout_s=timeout_s,
                setting="evaluate.cost.start_timeout_s",
            )
            if happened is None:
                break
            if process.returncode != PORT_TAKEN or attempt == ATTEMPTS:
                raise NotServed(f"The replica {happened}. Its log ends:\n{last_lines(log)}")
        start_up_s = time.monotonic() - begun
        master = psutil.Process(process.pid)
        yield Replica(
            url=f"http://{HOST}:{port}{PREDICTIONS}",
            start_up_s=start_up_s,
            processes=(master, *master.children(recursive=True)),
        )


@contextmanager
def _started(
    directory: Path, digest: str, python: Path, ports: tuple[int, int], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """The launcher's process; it leads a group of its own, which no keyboard's interrupt is sent to."""
    arguments = launcher_arguments(
        model_name=MODEL_NAME,
        model_version=MODEL_VERSION,
        model_directory=str(directory),
        model_digest=digest,
        host=HOST,
        port=ports[0],
        metrics_port=ports[1],
        max_body_bytes=MAX_BODY_BYTES,
    )
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(python), *LAUNCHER, *arguments, "--end-with-stdin"],
            cwd=PROJECT,
            env=passed_on(),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with process:  # closes its standard input and waits for its end
            pass


def _ready(port: int, digest: str) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=ANSWER_TIMEOUT_S)
    try:
        connection.request("GET", READINESS)
        response = connection.getresponse()
        answer = json.loads(response.read())
        return says_ready(response.status, answer, model_version=MODEL_VERSION, model_digest=digest)
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        return False
    finally:
        connection.close()
