"""How long the evaluation of the sample's model takes, in a run as a user starts it: full, and in the demo.

The step's own time, as ZenML records it; what it loads is in it, what the training loaded before is not.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median

from benchmarks.claim import Claim, at_most
from benchmarks.main.home import PROJECT, isolated

DEMO = PROJECT / "configs" / "demo"
ROUNDS = 3
FULL_S, DEMO_S = 60.0, 15.0
TIMES = """
import json
from zenml.client import Client
runs = Client().list_pipeline_runs(sort_by="desc:created", size=1, hydrate=True).items
step = runs[0].steps["evaluate"]
print(json.dumps((step.end_time - step.start_time).total_seconds()))
"""


def measure(folder: Path, *, quick: bool) -> list[Claim]:
    """Both profiles; quick: one round of each."""
    full = folder / "full"
    shutil.copytree(DEMO, full, ignore=shutil.ignore_patterns("evaluation.yaml"))
    environment = isolated(folder / "home")
    _run([sys.executable, "-m", "stacks.apply", "stacks/local.yaml"], environment)
    rounds = 1 if quick else ROUNDS
    return [
        at_most(
            f"evaluation of the sample's 450 test pictures, {name}, median of {rounds}",
            median(_evaluated(config, environment) for _ in range(rounds)),
            limit,
            "s",
        )
        for name, config, limit in (
            ("every part with the product's settings", full, FULL_S),
            ("the demo's profile", DEMO, DEMO_S),
        )
    ]


def _evaluated(config: Path, environment: dict[str, str]) -> float:
    """Seconds of the step ``evaluate`` of one training."""
    source = ("--source", "data/first-delivery.zip")
    _run([sys.executable, "run.py", "--config", str(config), "--train", *source], environment)
    return float(json.loads(_run([sys.executable, "-c", TIMES], environment)))


def _run(command: list[str], environment: dict[str, str]) -> str:
    """Run a command of the project and give what it printed.

    Raises:
        RuntimeError: it failed.
    """
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr[-3000:]}")
    return done.stdout.splitlines()[-1]
