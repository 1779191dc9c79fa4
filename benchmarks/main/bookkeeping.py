"""ZenML's bookkeeping: a training run's time outside our own work, beside a run of as many empty steps.

Our own work is what happens inside step entry points and inside the methods of our materializers. Both runs
go through the same function, in one process on the same stack, round by round in turn. As a script, in the
environment of a home: ``python -m benchmarks.main.bookkeeping ROUNDS`` prints both in seconds.
"""

from __future__ import annotations

import functools
import importlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.claim import Claim, at_most
from benchmarks.main.home import DELIVERY, SHRUNK_CONFIG, Home
from benchmarks.warm import PROJECT

LIMIT = 1.2
TRAINING_STEPS = (
    "data.ingest",
    "data.validate",
    "data.split",
    "training.train",
    "evaluation.evaluate",
    "evaluation.gate",
    "registry.register",
)
MATERIALIZERS = (
    "classifier:ClassifierMaterializer",
    "image_dataset:ImageDatasetMaterializer",
    "report:ReportMaterializer",
    "splits:SplitsMaterializer",
)


class Stopwatch:
    """Adds up the time inside the functions that it wraps; a call inside another counts once."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._running = threading.local()

    def wrap(self, owner: Any, name: str) -> None:
        """Measure ``owner.name`` from now on."""
        whole: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(whole)
        def measured(*args: Any, **kwargs: Any) -> Any:
            if getattr(self._running, "inside", False):
                return whole(*args, **kwargs)
            self._running.inside, started = True, time.perf_counter()
            try:
                return whole(*args, **kwargs)
            finally:
                self._running.inside = False
                self.seconds += time.perf_counter() - started

        setattr(owner, name, measured)


def our_own_work() -> Stopwatch:
    """A stopwatch on every training step and every method of our materializers."""
    watch = Stopwatch()
    for step in TRAINING_STEPS:
        module = importlib.import_module(f"steps.{step}")
        watch.wrap(getattr(module, step.rpartition(".")[2]), "entrypoint")
    for entry in MATERIALIZERS:
        module_name, _, class_name = entry.partition(":")
        owner = getattr(importlib.import_module(f"materializers.{module_name}"), class_name)
        for name, value in list(vars(owner).items()):
            if callable(value) and not name.startswith("__"):
                watch.wrap(owner, name)
    return watch


def run_rounds(rounds: int) -> dict[str, list[float]]:
    """Seconds outside our own work of each round's training run, and seconds of its empty run."""
    from benchmarks.main.empty import empty
    from pipelines.config import load_config
    from pipelines.launch import How, code_digest, start
    from pipelines.session import prepare
    from pipelines.training import TrainingInputs, training

    config = load_config(SHRUNK_CONFIG, ("train.threads=1",))
    prepare(None)
    watch = our_own_work()
    inputs = TrainingInputs(source=str(DELIVERY), data_version=None, code=code_digest())
    seconds: dict[str, list[float]] = {"training": [], "empty": []}
    for _ in range(rounds + 1):
        watch.seconds, started = 0.0, time.perf_counter()
        trained = start(training, config, {"config": config, "inputs": inputs}, how=How(cache=False))
        seconds["training"].append(time.perf_counter() - started - watch.seconds)
        started = time.perf_counter()
        rested = start(empty, config, {"steps": len(TRAINING_STEPS)}, how=How(cache=False))
        seconds["empty"].append(time.perf_counter() - started)
        for result in (trained, rested):
            if result.status != "completed":
                raise RuntimeError(f"A run did not complete: {result.reasons}")
    # The first of each imports what the others use.
    return {name: values[1:] for name, values in seconds.items()}


def measure(folder: Path, *, quick: bool) -> list[Claim]:
    """The claim, from ``rounds`` rounds in a fresh home."""
    with Home(folder) as home:
        said = subprocess.run(
            [sys.executable, "-m", "benchmarks.main.bookkeeping", "5" if quick else "15"],
            cwd=PROJECT,
            env=home.environment,
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
    seconds = json.loads(said)
    ours, peer = median(seconds["training"]), median(seconds["empty"])
    name = f"a training run's time outside our own work, beside {len(TRAINING_STEPS)} empty steps"
    return [at_most(name, ours, LIMIT * peer, "s", peer=peer)]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run_rounds(int(sys.argv[1]))))
