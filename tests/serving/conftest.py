"""A tiny exported network, and a service that really runs."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.main.home import free_port
from serving.capture_options import CaptureSettings
from serving.captured_line import rows_of
from serving.model_directory import ModelMetadata, Preprocessing, model_digest, write_metadata
from serving.spool import Stream, files_of, folder_of_stream
from tests.serving.pictures import gradient

ROOT = Path(__file__).resolve().parents[2]
SERVING_PYTHON = ROOT / ".venv-serving" / "bin" / "python"
SIDE = 28
CLASSES = ("bags", "dresses", "tops")
STARTS_WITHIN_S = 60.0


def in_serving_environment(code: str, *arguments: str) -> Any:
    """Run Python code in the serving environment and parse the JSON that it prints."""
    done = subprocess.run(
        [SERVING_PYTHON, "-c", code, *arguments],
        cwd=ROOT,
        env=serving_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def serving_environment() -> dict[str, str]:
    """Copy the environment without what belongs to this interpreter."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}


def kept(settings: CaptureSettings, kind: str) -> list[dict[str, Any]]:
    """The rows of one kind that a service left in its spool."""
    files = files_of(folder_of_stream(settings.spool, Stream("staging", "product-classifier")))
    lines = [rows_of(line) for file in files for line in file.read_bytes().splitlines()]
    return [row for found, rows in lines if found == kind for row in rows]


@dataclass(frozen=True)
class ExportedModel:
    """A model directory, its digest, and what the torch network answers for ``images``."""

    directory: Path
    digest: str
    images: NDArray[np.uint8]
    logits: NDArray[np.float32]
    embeddings: NDArray[np.float32]


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> ExportedModel:
    """Export an untrained torch network of two layers, with its normalisation inside."""
    import torch

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = torch.nn.Conv2d(3, 8, 3, stride=2)
            self.norm = torch.nn.BatchNorm2d(8)
            self.head = torch.nn.Linear(8, len(CLASSES))

        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            pixels = (images.permute(0, 3, 1, 2).to(torch.float32) / 255 - 0.5) / 0.25
            embedding = torch.relu(self.norm(self.convolution(pixels))).mean(dim=(2, 3))
            return self.head(embedding) * 8, embedding

    torch.manual_seed(3)
    network = Network().eval()
    images = np.stack([np.asarray(gradient(SIDE, SIDE, seed)) for seed in range(7)])
    directory = tmp_path_factory.mktemp("exported") / "model"
    directory.mkdir()
    torch.onnx.export(
        network,
        (torch.from_numpy(images[:2]),),
        str(directory / "model.onnx"),
        input_names=["images"],
        output_names=["logits", "embedding"],
        dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
        external_data=False,
        dynamo=True,
        verbose=False,
    )
    write_metadata(
        directory,
        ModelMetadata(
            format_version=1,
            architecture="tiny",
            classes=CLASSES,
            preprocessing=Preprocessing(version=1, height=SIDE, width=SIDE),
            runtime="onnxruntime",
        ),
    )
    with torch.no_grad():
        logits, embeddings = network(torch.from_numpy(images))
    return ExportedModel(directory, model_digest(directory), images, logits.numpy(), embeddings.numpy())


@dataclass
class Service:
    """A started ``serving.launcher``, or another one of its kind: its process, its ports and its log."""

    process: subprocess.Popen[bytes]
    port: int
    metrics_port: int
    log: Path
    health_port: int
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where predictions are posted to."""
        return f"http://127.0.0.1:{self.port}/api/v1.0/predictions"

    def wait_until_ready(self) -> float:
        """Wait for ``/health/status``; return the seconds it took."""
        started = time.monotonic()
        while time.monotonic() - started < STARTS_WITHIN_S:
            assert self.process.poll() is None, self.log.read_text()
            try:
                httpx.get(f"http://127.0.0.1:{self.health_port}/health/status", timeout=10).raise_for_status()
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return time.monotonic() - started
        raise AssertionError(self.log.read_text())

    def wait_until_listening(self) -> None:
        """Wait until connections are accepted, for a port that not everybody may ask."""
        started = time.monotonic()
        while time.monotonic() - started < STARTS_WITHIN_S:
            assert self.process.poll() is None, self.log.read_text()
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5):
                return
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def metrics(self) -> str:
        """Read what Prometheus reads."""
        return httpx.get(f"http://127.0.0.1:{self.metrics_port}/metrics").raise_for_status().text

    def stop(self) -> int:
        """Send SIGTERM, as a deployer does; return the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(timeout=40)


StartService = Callable[..., Service]


@pytest.fixture(scope="session")
def start_service(
    tmp_path_factory: pytest.TempPathFactory, exported: ExportedModel
) -> Iterator[StartService]:
    """Start services in the serving environment, in a process group each; whatever is left is killed."""
    started: list[Service] = []

    def start(
        *arguments: str,
        port: int | None = None,
        stdin: int | None = None,
        module: str = "serving.launcher",
        python: Path = SERVING_PYTHON,
        **changes: Any,
    ) -> Service:
        parameters = {
            "model_directory": str(exported.directory),
            "model_digest": exported.digest,
            "model_version": "7",
            "model_name": "product-classifier",
            **changes,
        }
        types = {str: "STRING", int: "INT"}
        as_seldon = [
            {"name": name, "value": str(value), "type": types[type(value)]}
            for name, value in parameters.items()
        ]
        port = port or free_port()
        metrics_port = free_port()
        log = tmp_path_factory.mktemp("service") / "log"
        command = [str(python), "-m", module, "--port", str(port)]
        command += ["--metrics-port", str(metrics_port), "--parameters", json.dumps(as_seldon), *arguments]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=serving_environment(),
                stdin=stdin,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        health_port = port if module == "serving.launcher" else metrics_port
        started.append(Service(process, port, metrics_port, log, health_port, parameters))
        return started[-1]

    yield start
    for service in started:
        if service.process.poll() is None:
            os.killpg(service.process.pid, signal.SIGKILL)
            service.process.wait()


@pytest.fixture(scope="session")
def service(start_service: StartService) -> Iterator[Service]:
    """One service for every test that only asks it questions."""
    running = start_service(max_bytes=200_000, max_pixels=1_000_000, max_batch=3)
    running.wait_until_ready()
    yield running
    assert running.stop() == 0
