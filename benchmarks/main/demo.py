"""The demo as a new user runs it: how long it takes, and how good the model is that it serves."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.claim import Claim, at_least, at_most
from benchmarks.main.home import isolated
from benchmarks.warm import PROJECT
from data.make_sample import ARTICLES, CATEGORIES, SIDE, SOURCE, draw_order, encode
from serving.predictor import Prediction, Predictor
from stacks.local_deployer.state import StateFile

RUN_DEMO = ("--config", "configs/demo", "--source", "data/first-delivery.zip", "--train", "--deploy")
PER_CLASS = 1000
# sha256 of the unpacked files, as in data/make_sample.py.
PUBLIC_TEST_SHA256 = {
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}


def seconds_of(command: list[str], *, folder: Path = PROJECT, environment: dict[str, str]) -> float:
    """How long a command takes, in seconds.

    Raises:
        RuntimeError: it fails.
    """
    started = time.perf_counter()
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit code {ended.returncode}\n{ended.stderr[-3000:]}")
    return time.perf_counter() - started


def measure_commands(folder: Path) -> list[Claim]:
    """``run.py --help`` and the set-up that has nothing to do."""
    environment = isolated(folder)
    showing = [sys.executable, "run.py", "--help"]
    help_s = [seconds_of(showing, environment=environment) for _ in range(6)][1:]
    setup_s = [seconds_of(["make", "setup"], environment=environment) for _ in range(6)][1:]
    return [
        at_most("run.py --help, median of 5", median(help_s), 0.5, "s"),
        at_most("make setup with nothing to do, median of 5", median(setup_s), 1.0, "s"),
    ]


def measure(folder: Path, *, quick: bool) -> list[Claim]:
    """The demo's times (not quick: they download the packages) and the accuracy of its model."""
    environment = isolated(folder)
    claims, checkout, python = [], PROJECT, sys.executable
    try:
        if not quick:
            checkout = folder / "clone"
            environment["UV_CACHE_DIR"] = str(folder / "uv-cache")
            environment["PATH"] = os.environ["PATH"]
            clone = ["git", "clone", "--quiet", str(PROJECT), str(checkout)]
            cold = seconds_of(clone, environment=environment)
            cold += seconds_of(["make", "demo"], folder=checkout, environment=environment)
            claims.append(at_most("make demo from a fresh clone, package downloads included", cold, 300, "s"))
            python = str(checkout / ".venv" / "bin" / "python")
        else:
            apply = [python, "-m", "stacks.apply", "stacks/local.yaml"]
            seconds_of(apply, environment=environment)
        again = [python, "run.py", *RUN_DEMO, "--no-cache", "--json"]
        started = time.perf_counter()
        said = subprocess.run(again, cwd=checkout, env=environment, stdout=subprocess.PIPE, check=True).stdout
        if not quick:
            warm = time.perf_counter() - started
            claims.append(at_most("the demo again, warm, with --no-cache", warm, 90, "s"))
        claims += own_test_split(json.loads(said)["results"][0]["metrics"])
        claims += public_test_set(live_model(folder))
    finally:
        stop = [python, "run.py", "--stop"]
        subprocess.run(stop, cwd=checkout, env=environment, stdout=subprocess.DEVNULL, check=False)
    return claims


def own_test_split(metrics: dict[str, Any]) -> list[Claim]:
    """Accuracy and the lowest precision and recall on the sample's own test split."""
    lowest = min(per[key] for per in metrics["per_class"].values() for key in ("precision", "recall"))
    part = f"on the sample's own test split (n = {metrics['n']})"
    return [
        at_least(f"accuracy {part}", metrics["accuracy"], 0.92, ""),
        at_least(f"lowest precision or recall of a class {part}", lowest, 0.80, ""),
    ]


def live_model(folder: Path) -> Path:
    """The serving directory of what is live in staging, of a home under ``folder``."""
    state = StateFile(folder / "zenml" / "shutterline" / "deployer").load()
    live = [one.live.release.candidate for one in state.deployments.values() if one.live]
    if len(live) != 1 or live[0] is None:
        raise RuntimeError(f"One release should be live: {live}")
    return Path(live[0].model_uri)


def public_test_set(model: Path) -> list[Claim]:
    """The same on pictures that neither delivery has; nothing where the Debian package is not installed."""
    if not SOURCE.is_dir():
        sys.stderr.write("The public test set is not measured: apt-get install dataset-fashion-mnist\n")
        return []
    images, articles = load_public_test_set()
    predictor = Predictor.load(model)
    classes = predictor.metadata.classes
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    for truth, name in enumerate(classes):
        positions = np.flatnonzero(np.isin(articles, [ARTICLES.index(a) for a in CATEGORIES[name]])).tolist()
        drawn = sorted(positions, key=draw_order)[:PER_CLASS]
        for answer in predictor.predict([encode(images[position]) for position in drawn]):
            if not isinstance(answer, Prediction):
                raise TypeError(f"A picture was not classified: {answer}")
            counts[truth, classes.index(answer.label)] += 1
    hits = np.diag(counts)
    lowest = min((hits / counts.sum(axis=0)).min(), (hits / counts.sum(axis=1)).min())
    part = f"on {PER_CLASS:,} pictures a class of the public test set (n = {counts.sum():,})"
    return [
        at_least(f"accuracy {part}", float(hits.sum() / counts.sum()), 0.94, ""),
        at_least(f"lowest precision or recall of a class {part}", float(lowest), 0.85, ""),
    ]


def load_public_test_set() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The 10,000 test pictures, uint8 ``(10000, 28, 28)``, and article numbers, uint8 ``(10000,)``.

    Raises:
        RuntimeError: a file is not the published one.
    """
    return _raw("t10k-images-idx3-ubyte", 16).reshape(-1, SIDE, SIDE), _raw("t10k-labels-idx1-ubyte", 8)


def _raw(name: str, offset: int) -> NDArray[np.uint8]:
    raw = gzip.decompress((SOURCE / f"{name}.gz").read_bytes())
    if hashlib.sha256(raw).hexdigest() != PUBLIC_TEST_SHA256[name]:
        raise RuntimeError(f"{name} of {SOURCE} is not the published file")
    return np.frombuffer(raw, np.uint8, offset=offset)
