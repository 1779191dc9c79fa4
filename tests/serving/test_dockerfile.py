"""The serving image holds all that the service imports, and nothing that it does not."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.serving.conftest import SERVING_PYTHON, serving_environment
from tests.stacks.dockerfiles import MLSERVER, ROOT, SERVING, copied

CODE = "/opt/shutterline/serving/"
MLSERVER_CODE = f"{CODE}mlserver/"
MLSERVER_PYTHON = ROOT / ".venv-mlserver" / "bin" / "python"


@pytest.mark.parametrize(
    ("dockerfile", "python", "module"),
    [
        (SERVING, SERVING_PYTHON, "launcher"),
        (SERVING, SERVING_PYTHON, "grpc_launcher"),
        (MLSERVER, MLSERVER_PYTHON, "mlserver.launcher"),
    ],
)
def test_the_service_starts_from_what_is_copied(
    tmp_path: Path, dockerfile: str, python: Path, module: str
) -> None:
    """The launcher imports and prints its help where only the copied files and the locked packages are."""
    package = tmp_path / "serving"
    for target, files in copied(dockerfile).items():
        if target.startswith(CODE):
            folder = package / target.removeprefix(CODE)
            folder.mkdir(parents=True, exist_ok=True)
            for file in files:
                shutil.copy(file, folder)
    code = f"import sys; sys.path.insert(0, sys.argv[1]); import serving.{module} as one; print(one.__file__)"
    done = subprocess.run(
        [python, "-I", "-c", code, tmp_path],
        cwd=tmp_path,
        env=serving_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    origin = package / f"{module.replace('.', '/')}.py"
    assert (done.returncode, done.stdout.strip()) == (0, str(origin)), done.stderr


def test_every_module_of_the_service_is_copied() -> None:
    """A module in a new folder of serving/ would be missing in the image."""
    modules = set((ROOT / "serving").rglob("*.py"))
    assert set(copied(MLSERVER)[CODE] + copied(MLSERVER)[MLSERVER_CODE]) == modules
    of_seldon = {module for module in modules if module.parent.name != "mlserver"}
    assert set(copied(SERVING)[CODE]) == of_seldon


def test_no_test_or_pipeline_code_is_copied() -> None:
    """The image is made of serving/ and of lock files alone."""
    files = {
        str(path.relative_to(ROOT))
        for dockerfile in (SERVING, MLSERVER)
        for paths in copied(dockerfile).values()
        for path in paths
    }
    assert {file for file in files if not file.startswith("serving/")} == {"requirements.lock"}
