"""A tracked step pays for what it uses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.kubeflow.story import register
from benchmarks.main.home import isolated
from benchmarks.warm import PROJECT


def test_a_tracked_step_that_does_nothing_imports_neither_torch_nor_scikit_learn(tmp_path: Path) -> None:
    """ZenML's tracker would import both, to turn off an autologging that was never on."""
    environment = isolated(tmp_path)
    register(environment, PROJECT / "stacks" / "local.yaml")
    done = subprocess.run(
        [sys.executable, "-m", "tests.stacks.tracked_pipeline"],
        env=environment,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "imported: []"
