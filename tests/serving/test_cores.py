"""How many cores a process may use, told by files as the kernel writes them."""

import os
from pathlib import Path

import pytest

from serving.cores import available_cores


@pytest.fixture(autouse=True)
def affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is allowed eight cores, whatever runs the tests."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(8)))


@pytest.fixture
def membership(tmp_path: Path) -> Path:
    file = tmp_path / "membership"
    file.write_text("0::/pods/one\n")
    return file


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "250000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "1600000 100000\n"}, 8),
        ({"pods/cpu.max": "300000 100000\n", "pods/one/cpu.max": "max 100000\n"}, 3),
        ({"pods/cpu.max": "300000 100000\n", "pods/one/cpu.max": "200000 100000\n"}, 2),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({"cpu.max": "nonsense\n"}, 8),
    ],
)
def test_the_smallest_limit_counts(
    tmp_path: Path, membership: Path, files: dict[str, str], cores: int
) -> None:
    """Of the affinity and of every cgroup above the process, in both versions; parts of a core do not."""
    for name, content in files.items():
        file = tmp_path / "cgroups" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    assert available_cores(tmp_path / "cgroups", membership) == cores


def test_a_system_without_cgroups_has_its_affinity(tmp_path: Path) -> None:
    """Nothing to read is no limit."""
    assert available_cores(tmp_path / "none", tmp_path / "nothing") == 8
