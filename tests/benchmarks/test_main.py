"""``python -m benchmarks`` as it is called: a subject put beside the real ones, its figures as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.warm import PROJECT

SUBJECT = """
from benchmarks.claim import at_most

PARTS = ("loads", "soak")

def measure(quick, only=PARTS):
    if only is not PARTS:
        return [at_most(part, 0, 1.0, "s") for part in only]
    return [at_most("quick" if quick else "slow", {ours}, 1.0, "s", peer=2.0)]
"""


def run_benchmarks(folder: Path, *arguments: str, ours: float = 0.5) -> subprocess.CompletedProcess[str]:
    """Run a copy of the command line that has one subject, ``cheap``."""
    package = folder / "benchmarks"
    package.mkdir()
    for name in ("__init__.py", "__main__.py", "claim.py"):
        (package / name).write_bytes((PROJECT / "benchmarks" / name).read_bytes())
    (package / "cheap").mkdir()
    (package / "cheap" / "__init__.py").write_text(SUBJECT.format(ours=ours), encoding="utf-8")
    (folder / "materializers").symlink_to(PROJECT / "materializers")
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy is found first, not the project's own package."""
    monkeypatch.delenv("PYTHONPATH", raising=False)


@pytest.mark.usefixtures("environment")
def test_json_is_one_object_with_the_fields_of_each_claim(tmp_path: Path) -> None:
    """Standard output is the machine and the claims, each with its figure, peer, limit and bar."""
    ended = run_benchmarks(tmp_path, "--json", "--quick", "cheap")
    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout)
    (claim,) = report["claims"]
    assert {"name", "ours", "peer", "limit", "ratio", "bar", "holds"} <= claim.keys()
    assert (claim["name"], claim["ours"], claim["peer"], claim["ratio"]) == ("quick", 0.5, 2.0, 0.25)
    assert claim["holds"] is True
    assert {"processor", "cores", "load_before", "load_after"} <= report["machine"].keys()


@pytest.mark.usefixtures("environment")
def test_without_names_all_subjects_run_and_a_missed_bar_is_exit_code_1(tmp_path: Path) -> None:
    """A missed bar is said and decides the exit code."""
    ended = run_benchmarks(tmp_path, ours=1.5)
    assert ended.returncode == 1, ended.stderr
    assert "slow: 1.5 s, peer 2, bar ≤ 1 s, ratio 0.75: MISSED" in ended.stdout


@pytest.mark.usefixtures("environment")
def test_an_unknown_subject_is_refused_with_those_there_are(tmp_path: Path) -> None:
    """A typo is exit code 2 and names the subjects."""
    ended = run_benchmarks(tmp_path, "mian")
    assert ended.returncode == 2
    assert "'mian'; there is: cheap" in ended.stderr


@pytest.mark.usefixtures("environment")
def test_a_part_is_run_alone(tmp_path: Path) -> None:
    """Nothing else of the subject is measured."""
    ended = run_benchmarks(tmp_path, "cheap", "--only", "soak")
    assert ended.returncode == 0, ended.stderr
    assert "soak: 0 s" in ended.stdout
    assert "loads" not in ended.stdout


@pytest.mark.usefixtures("environment")
def test_an_unknown_part_is_refused_with_those_there_are(tmp_path: Path) -> None:
    """Exit code 2, before anything is measured."""
    ended = run_benchmarks(tmp_path, "cheap", "--only", "sock")
    assert ended.returncode == 2
    assert "'cheap' has no part 'sock'; there is: loads, soak" in ended.stderr
