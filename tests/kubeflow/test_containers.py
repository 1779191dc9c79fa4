"""What the training image promises, tried in a container: no root, read-only, the Dockerfile's settings."""

import json

import pytest

from tests.docker_daemon import HARDENED, Docker, docker, mounts
from tests.stacks.dockerfiles import ROOT, TRAINING

__all__ = ["docker"]

pytestmark = [pytest.mark.docker, pytest.mark.debian("docker.io")]

STEP = """
import json, os, pathlib
import mlflow, onnxruntime, torch
import shutterline_step
refused = []
for folder in ("/", "/opt/venv", "/usr"):
    try:
        pathlib.Path(folder, "written").touch()
    except OSError:
        refused.append(folder)
pathlib.Path("written").touch()
print(json.dumps({
    "uid": os.getuid(),
    "cwd": os.getcwd(),
    "refused": refused,
    "options": sorted(shutterline_step.StepEntrypoint.get_entrypoint_options()),
    "shape": list(torch.nn.Linear(2, 1)(torch.zeros(3, 2)).shape),
}))
"""


def test_a_step_has_its_packages_and_a_folder_of_its_own(docker: Docker) -> None:
    """torch, ZenML, MLflow and the step's entry point load as user 1000, with nothing writable but /tmp."""
    docker.import_image("training", TRAINING)
    step = [f"--volume={ROOT}/stacks/docker:/opt/step:ro", "--env=PYTHONPATH=/opt/step"]
    options = [*HARDENED, *mounts(ROOT / ".venv"), *step]
    said = json.loads(docker("run", *options, "training", "python", "-c", STEP))
    assert said == {
        "uid": 1000,
        "cwd": "/tmp",  # noqa: S108
        "refused": ["/", "/opt/venv", "/usr"],
        "options": ["entrypoint_config_source", "snapshot_id", "step_name"],
        "shape": [3, 1],
    }
