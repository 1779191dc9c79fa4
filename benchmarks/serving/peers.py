"""Other ways to serve the same model on this machine, each a process of its own, for comparison.

MLflow's server and BentoML run the exported network with onnxruntime, after Pillow, as their users would;
FastAPI runs torch eager. BentoML gets a virtual environment of its own, made among what the
benchmark writes. One that does not come up is named, with why.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from benchmarks.main.home import free_port
from benchmarks.serving.memory import tree
from benchmarks.warm import PROJECT

BENTOML = ("bentoml==1.4.40", "onnxruntime==1.26.0", "pillow>=13.0", "numpy>=2,<3")
STARTS_WITHIN_S = 180.0
SERVERS = "benchmarks/serving/peer_servers"
RAW, JSON = "application/octet-stream", "application/json"
FASTAPI, MLFLOW, BENTO = "torch eager in FastAPI", "MLflow's server", "BentoML"


@dataclass(frozen=True)
class Peer:
    """A server that answers.

    Args:
        name: what it is.
        url: where it is asked.
        content_type: of a request.
        body: what it is sent for an encoded picture.
        process: the first of its processes.
    """

    name: str
    url: str
    content_type: str
    body: Callable[[bytes], bytes]
    process: psutil.Process

    def cpu_s(self) -> float:
        """CPU seconds of its processes so far."""
        everyone = (self.process, *self.process.children(recursive=True))
        return sum(sum(each.cpu_times()[:2]) for each in everyone)


@contextlib.contextmanager
def peers(folder: Path, directory: Path, *, quick: bool) -> Iterator[tuple[list[Peer], dict[str, str]]]:
    """The servers that came up, and of each that did not, by its name, why; until the block is left.

    Args:
        folder: for what they write.
        directory: by which the network is served; they take its ``model.onnx``.
        quick: without the one that has to be installed.
    """
    ways: dict[str, Callable[[], contextlib.AbstractContextManager[Peer]]] = {
        FASTAPI: partial(_fastapi, folder),
        MLFLOW: partial(_mlflow, folder, directory),
    }
    if not quick:
        ways[BENTO] = partial(_bentoml, folder, directory)
    with contextlib.ExitStack() as running:
        found, missing = [], {}
        for name, way in ways.items():
            try:
                found.append(running.enter_context(way()))
            except (OSError, RuntimeError, subprocess.SubprocessError) as error:
                missing[name] = str(error)
        yield found, missing


def _fastapi(folder: Path) -> contextlib.AbstractContextManager[Peer]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "benchmarks.serving.peer_servers.torch_eager:app"]
    options = ["--port", str(port), "--log-level", "warning", "--no-access-log"]
    return _serving(
        FASTAPI,
        [*command, *options],
        f"http://127.0.0.1:{port}/predict",
        health="/docs",
        content_type=RAW,
        body=bytes,
        log=folder / "fastapi.log",
    )


def _mlflow(folder: Path, directory: Path) -> contextlib.AbstractContextManager[Peer]:
    port, model = free_port(), folder / "mlflow-model"
    variables = {"PEER_MODEL": str(directory / "model.onnx"), "MLFLOW_DISABLE_TELEMETRY": "true"}
    saved = f"{str(model)!r}, python_model='{SERVERS}/mlflow_model.py'"
    subprocess.run(
        [sys.executable, "-c", f"import mlflow; mlflow.pyfunc.save_model({saved})"],
        cwd=PROJECT,
        env={**os.environ, **variables},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(model), "--env-manager", "local"]
    return _serving(
        MLFLOW,
        [*command, "--port", str(port), "--host", "127.0.0.1"],
        f"http://127.0.0.1:{port}/invocations",
        health="/ping",
        content_type=JSON,
        body=lambda picture: json.dumps({"inputs": [base64.b64encode(picture).decode()]}).encode(),
        log=folder / "mlflow.log",
        variables=variables,
    )


def _bentoml(folder: Path, directory: Path) -> contextlib.AbstractContextManager[Peer]:
    port = free_port()
    return _serving(
        BENTO,
        [
            str(_environment(folder / "bentoml-environment", BENTOML) / "bin" / "bentoml"),
            *("serve", "bento:Classifier", "--working-dir", SERVERS),
            *("--port", str(port), "--host", "127.0.0.1"),
        ],
        f"http://127.0.0.1:{port}/classify",
        health="/readyz",
        content_type=JSON,
        body=lambda picture: json.dumps({"picture": base64.b64encode(picture).decode()}).encode(),
        log=folder / "bentoml.log",
        variables={
            "PEER_MODEL": str(directory / "model.onnx"),
            "BENTOML_HOME": str(folder / "bentoml"),
            "BENTOML_DO_NOT_TRACK": "True",
        },
    )


def _environment(place: Path, packages: tuple[str, ...]) -> Path:
    """Make a virtual environment with these packages.

    Raises:
        RuntimeError: the registry does not have them, or does not answer.
    """
    subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, str(place)], check=True)
    into = ("--python", str(place / "bin" / "python"))
    install = ["uv", "pip", "install", "--quiet", *into, *packages]
    ended = subprocess.run(install, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(packages)} cannot be installed: {ended.stderr.strip()[-500:]}")
    return place


@contextlib.contextmanager
def _serving(
    name: str,
    command: list[str],
    url: str,
    *,
    health: str,
    content_type: str,
    body: Callable[[bytes], bytes],
    log: Path,
    variables: dict[str, str] | None = None,
) -> Iterator[Peer]:
    one_thread = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    folder = PROJECT
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **one_thread, **(variables or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        started = psutil.Process(process.pid)
        try:
            _wait(process, url, health, log)
            yield Peer(name, url, content_type, body, started)
        finally:
            # BentoML's worker has a process group of its own.
            for each in tree(started):
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()


def _wait(process: subprocess.Popen[bytes], url: str, health: str, log: Path) -> None:
    host = url.split("/")[2]
    until = time.monotonic() + STARTS_WITHIN_S
    while True:
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"{url} does not answer: {log.read_text(errors='replace')[-2000:]}")
        connection = http.client.HTTPConnection(host, timeout=5)
        try:
            connection.request("GET", health)
            if connection.getresponse().status == http.client.OK:
                return
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.2)
