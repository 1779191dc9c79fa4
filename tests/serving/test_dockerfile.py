"""The serving image holds all that the service imports, and nothing that it does not."""

import shutil
import subprocess
from pathlib import Path

from tests.serving.conftest import SERVING_PYTHON, serving_environment
from tests.stacks.dockerfiles import ROOT, SERVING, copied

CODE = "/opt/shutterline/serving/"


def test_the_service_starts_from_what_is_copied(tmp_path: Path) -> None:
    """The launcher imports and prints its help where only the copied files and the locked packages are."""
    package = tmp_path / "serving"
    package.mkdir()
    for file in copied(SERVING)[CODE]:
        shutil.copy(file, package)
    code = "import sys; sys.path.insert(0, sys.argv[1]); import serving.launcher as one; print(one.__file__)"
    done = subprocess.run(
        [SERVING_PYTHON, "-I", "-c", code, tmp_path],
        cwd=tmp_path,
        env=serving_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, str(package / "launcher.py")), done.stderr


def test_every_module_of_the_service_is_copied() -> None:
    """A module in a new folder of serving/ would be missing in the image."""
    modules = set((ROOT / "serving").rglob("*.py"))
    assert set(copied(SERVING)[CODE]) == modules


def test_no_test_or_pipeline_code_is_copied() -> None:
    """The image is made of serving/ and of lock files alone."""
    files = {str(path.relative_to(ROOT)) for paths in copied(SERVING).values() for path in paths}
    assert {file for file in files if not file.startswith("serving/")} == {"requirements.lock"}
