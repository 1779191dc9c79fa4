"""What the serving image promises, tried in a container: no root, read-only, the Dockerfile's commands."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.docker_daemon import HARDENED, Docker, docker, mounts
from tests.serving.conftest import CLASSES, SERVING_PYTHON, STARTS_WITHIN_S, ExportedModel, exported
from tests.serving.pictures import encode
from tests.stacks.dockerfiles import ROOT, SERVING

__all__ = ["docker", "exported"]

pytestmark = [pytest.mark.docker, pytest.mark.debian("docker.io")]

TOKEN = "a-token-of-this-test"
ASK = """
import sys, urllib.request
body = sys.stdin.buffer.read() or None
request = urllib.request.Request("http://127.0.0.1:9000" + sys.argv[1], data=body)
request.add_header("content-type", "application/octet-stream")
request.add_header("authorization", "Bearer " + (sys.argv[2:] or ["none"])[0])
print(urllib.request.urlopen(request, timeout=20).read().decode())
"""
WRITE = """
import json, os, pathlib
refused = []
for folder in ("/", "/opt", "/opt/shutterline", "/opt/venv", "/usr"):
    try:
        pathlib.Path(folder, "written").touch()
    except OSError as error:
        refused.append(folder)
pathlib.Path("/tmp/written").touch()
print(json.dumps({"uid": os.getuid(), "refused": refused, "cwd": os.getcwd()}))
"""


def command(exported: ExportedModel, digest: str, *options: str) -> list[str]:
    """Give what `docker run` starts the serving image with: its own entry point, and Seldon's parameters."""
    values = {
        "model_directory": "/mnt/models",
        "model_digest": digest,
        "model_version": "7",
        "model_name": "product-classifier",
    }
    parameters = [{"name": name, "value": value, "type": "STRING"} for name, value in values.items()]
    folders = [*mounts(SERVING_PYTHON.parents[1]), f"--volume={exported.directory}:/mnt/models:ro"]
    return [*HARDENED, *folders, *options, "serving", "--parameters", json.dumps(parameters)]


def with_token(folder: Path, exported: ExportedModel, digest: str) -> list[str]:
    """Give the same with a token, which an address that is not loopback demands."""
    file = folder / "token"
    file.write_text(TOKEN)
    file.chmod(0o644)
    mount = f"--volume={file}:/run/secrets/token:ro"
    return [*command(exported, digest, mount), "--token-file", "/run/secrets/token"]


@pytest.fixture(scope="module")
def serving(docker: Docker) -> None:
    """Make the serving image."""
    docker.import_image("serving", SERVING)


@pytest.fixture(scope="module")
def service(
    docker: Docker, serving: None, exported: ExportedModel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Start the service, and end it as Kubernetes does: SIGTERM, upon which it exits with 0."""
    container = docker(
        "run", "--detach", *with_token(tmp_path_factory.mktemp("token"), exported, exported.digest)
    )
    deadline = time.monotonic() + STARTS_WITHIN_S
    while docker.run("exec", container, "python", "-c", ASK, "/health/status").returncode != 0:
        running = docker("inspect", "--format", "{{.State.Running}}", container)
        assert (running, time.monotonic() < deadline) == ("true", True), docker.run("logs", container).stderr
        time.sleep(0.2)
    yield container
    docker("stop", "--time", "30", container)
    assert docker("inspect", "--format", "{{.State.ExitCode}}", container) == "0"


def test_the_service_answers_a_picture(docker: Docker, service: str, exported: ExportedModel) -> None:
    """The label is the one that the torch network gives for this picture."""
    picture = encode(Image.fromarray(exported.images[0]))
    ask = ["exec", "--interactive", service, "python", "-c", ASK, "/api/v1.0/predictions"]
    answer = json.loads(docker(*ask, TOKEN, given=picture))["jsonData"]
    assert docker.run(*ask, given=picture).returncode != 0, "it answers without a token"
    assert answer["model_version"] == "7"
    [prediction] = answer["predictions"]
    assert prediction["label"] == CLASSES[int(np.argmax(exported.logits[0]))]


def test_the_health_check_sees_whether_the_service_answers(docker: Docker, service: str) -> None:
    """The image's own check succeeds on the service's port and fails where nothing listens."""
    [kind, *check] = json.loads(docker("inspect", "--format", "{{json .Config.Healthcheck.Test}}", service))
    assert kind == "CMD"
    assert docker.run("exec", service, *check).returncode == 0
    other = ["--env", "PREDICTIVE_UNIT_HTTP_SERVICE_PORT=9"]
    assert docker.run("exec", *other, service, *check).returncode != 0


def test_the_service_is_no_root_and_writes_under_tmp_alone(docker: Docker, service: str) -> None:
    """User 1000, every other folder refused."""
    said = json.loads(docker("exec", service, "python", "-c", WRITE))
    assert said == {
        "uid": 1000,
        "refused": ["/", "/opt", "/opt/shutterline", "/opt/venv", "/usr"],
        "cwd": "/tmp",  # noqa: S108
    }


def test_the_metrics_are_on_their_port(docker: Docker, service: str) -> None:
    """Prometheus finds them where the image says."""
    ask = ASK.replace(":9000", ":6000")
    assert "shutterline_requests" in docker("exec", service, "python", "-c", ask, "/metrics")


def test_another_model_than_the_pinned_one_ends_the_container(
    docker: Docker, serving: None, exported: ExportedModel, tmp_path: Path
) -> None:
    """A directory with another digest is not served; the log names the digest that was found."""
    done = docker.run("run", *with_token(tmp_path, exported, "0" * 64))
    assert done.returncode == 4
    assert exported.digest in done.stderr.decode()


def test_a_container_without_a_token_is_not_started(
    docker: Docker, serving: None, exported: ExportedModel
) -> None:
    """It would answer whoever reaches it: exit code 2, and what to give."""
    done = docker.run("run", *command(exported, exported.digest))
    assert done.returncode == 2
    assert "--token-file" in done.stderr.decode().splitlines()[-1]


def test_a_base_that_cannot_be_pulled_is_named(docker: Docker) -> None:
    """The real docker command against a registry that is not there: exit code 4, nothing built."""
    base = "127.0.0.1:9/python:3.11"
    done = subprocess.run(
        [sys.executable, "-m", "stacks.images", "build", "--base", base],
        cwd=ROOT,
        env={**os.environ, "DOCKER_HOST": docker.address},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (4, "")
    assert f"The base image {base} cannot be pulled" in done.stderr.splitlines()[-1]
