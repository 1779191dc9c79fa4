"""CI's rule about skipped tests, on small test suites run by a pytest of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MARKERS = "[pytest]\nmarkers =\n    gpu\n    shared_data\n    docker\n    debian\n"


def run_suite(folder: Path, source: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a suite of one file with the plugin."""
    (folder / "pytest.ini").write_text(MARKERS)
    (folder / "test_suite.py").write_text(f"import pytest\n{source}")
    command = [sys.executable, "-m", "pytest", "-p", "tests.plugin_skips", "-p", "no:cacheprovider"]
    command += [*options, str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("options", [(), ("-n", "1")])
def test_a_skip_for_another_reason_fails_the_run(tmp_path: Path, options: tuple[str, ...]) -> None:
    """A missing Debian package is named and the run ends with 1, in one process or several."""
    source = "@pytest.mark.debian\n@pytest.mark.skip(reason='no chromium')\ndef test_picture(): pass\n"
    result = run_suite(tmp_path, source + "def test_other(): pass\n", *options)
    assert result.returncode == 1
    assert "test_picture: Skipped: no chromium" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("=")


def test_skips_for_a_gpu_photographs_or_docker_pass(tmp_path: Path) -> None:
    """What a CI machine cannot have is no failure; neither is an expected failure."""
    marked = "".join(
        f"@pytest.mark.{name}\n@pytest.mark.skip(reason='none here')\ndef test_{name}(): pass\n"
        for name in ("gpu", "shared_data", "docker")
    )
    expected = "@pytest.mark.xfail\ndef test_later(): assert False\n"
    result = run_suite(tmp_path, marked + expected)
    assert result.returncode == 0, result.stdout
    assert "the run fails" not in result.stdout


def test_a_file_that_skips_itself_fails_the_run(tmp_path: Path) -> None:
    """A whole file that was left out counts too."""
    result = run_suite(tmp_path, "pytest.skip('not today', allow_module_level=True)\n")
    assert result.returncode != 0
    assert "not today" in result.stdout
