"""How long the evaluation of the sample's model takes, in a run as a user starts it: full, and in the demo.

The step's own time, as ZenML records it; what it loads is in it, what the training loaded before is not. And
how large the page is that the dashboard shows of it, pictures inside.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median

from benchmarks.claim import Claim, at_most
from benchmarks.main.home import isolated
from benchmarks.warm import PROJECT

DEMO = PROJECT / "configs" / "demo"
ROUNDS = 3
FULL_S, DEMO_S = 60.0, 15.0
LARGEST_PAGE_MB = 3.0
MEASURED = """
import json
from zenml.client import Client
runs = Client().list_pipeline_runs(sort_by="desc:created", size=1, hydrate=True).items
step = runs[0].steps["evaluate"]
page = step.outputs["evaluation"][0].load().page()
print(json.dumps([(step.end_time - step.start_time).total_seconds(), len(page.encode()) / 1e6]))
"""


def measure(folder: Path, *, quick: bool) -> list[Claim]:
    """Both profiles; quick: one round of each."""
    full = folder / "full"
    shutil.copytree(DEMO, full, ignore=shutil.ignore_patterns("evaluation.yaml"))
    environment = isolated(folder / "home")
    _run([sys.executable, "-m", "stacks.apply", "stacks/local.yaml"], environment)
    rounds = 1 if quick else ROUNDS
    claims: list[Claim] = []
    pages: list[float] = []
    for name, config, limit in (
        ("every part with the product's settings", full, FULL_S),
        ("the demo's profile", DEMO, DEMO_S),
    ):
        seconds, megabytes = zip(*(_evaluated(config, environment) for _ in range(rounds)), strict=True)
        about = f"evaluation of the sample's 450 test pictures, {name}, median of {rounds}"
        claims.append(at_most(about, median(seconds), limit, "s"))
        pages.extend(megabytes)
    about = "the evaluation's page in the dashboard, pictures inside, the largest of these runs"
    return [*claims, at_most(about, max(pages), LARGEST_PAGE_MB, "MB")]


def _evaluated(config: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Seconds of the step ``evaluate`` of one training, and the megabytes of its page."""
    source = ("--source", "data/first-delivery.zip")
    _run([sys.executable, "run.py", "--config", str(config), "--train", *source], environment)
    seconds, megabytes = json.loads(_run([sys.executable, "-c", MEASURED], environment))
    return float(seconds), float(megabytes)


def _run(command: list[str], environment: dict[str, str]) -> str:
    """Run a command of the project and give what it printed.

    Raises:
        RuntimeError: it failed.
    """
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr[-3000:]}")
    return done.stdout.splitlines()[-1]
