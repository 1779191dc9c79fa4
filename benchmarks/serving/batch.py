"""Bulk inference beside torch eager in a DataLoader, and killed in the middle."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks.claim import Claim, at_least, at_most
from benchmarks.serving.batch_ways import ARCHITECTURE, SIDE, STORE
from benchmarks.serving.exporting import encoded, exported
from benchmarks.serving.memory import Sampled, tree
from benchmarks.warm import PROJECT
from steps.inference.classify import SHARD_PICTURES

PICTURES, QUICK = 4000, 600
ROUNDS = 1
"""A round of so many pictures takes minutes of CPU, beside which what comes between is little."""
LEAST = 1.5
"""How many times as many pictures a CPU second."""
FINISHED = f"{STORE}/inferences/*/*.parquet"


def measure(folder: Path, *, quick: bool) -> list[Claim]:
    """The claims about bulk inference."""
    what = _prepare(folder, QUICK if quick else PICTURES)
    taken: dict[str, list[dict[str, Any]]] = {"ours": [], "eager": []}
    for _ in range(1 if quick else ROUNDS):
        shutil.rmtree(folder / STORE, ignore_errors=True)
        for way, found in taken.items():
            found.append(_run(way, folder))
    rate = {way: median(each["pictures"] / each["cpu_s"] for each in found) for way, found in taken.items()}
    alone = _run("alone", folder)
    best = (1000 / rate["eager"]) / (alone["ours"] + alone["decoding"])
    first = taken["ours"][0]
    total = len(list(folder.glob(FINISHED)))
    shutil.rmtree(folder / STORE)
    return [
        at_least(
            f"bulk inference, {ARCHITECTURE} at {SIDE}, {what} (the networks alone take "
            f"{alone['ours']:.3g} ms a picture with onnxruntime and {alone['eager']:.3g} with torch eager, "
            f"our decoding {alone['decoding']:.2g}: were nothing else to do, the ratio would be {best:.3g}): "
            f"pictures a CPU second, {rate['ours']:.3g}, "
            f"beside torch eager in a DataLoader, {rate['eager']:.3g}; by the clock "
            f"{first['pictures'] / first['wall_s']:.3g} a second; {first['memory_mb']:.0f} MB at most",
            rate["ours"] / rate["eager"],
            LEAST,
            "×",
        ),
        *_killed(folder, what, total),
    ]


def _prepare(folder: Path, count: int) -> str:
    """Write pictures and model; what the pictures are called."""
    (folder / "pictures").mkdir(parents=True)
    name, pictures = encoded(count)
    for number, data in enumerate(pictures):
        (folder / "pictures" / f"{number:06}.jpg").write_bytes(data)
    exported(ARCHITECTURE, folder / "model")
    return f"{count:,} {name}"


def _run(way: str, folder: Path) -> dict[str, Any]:
    """What a way says of itself, with the memory that its processes had at most, 10⁶ bytes.

    Raises:
        RuntimeError: it failed.
    """
    with subprocess.Popen(_command(way, folder), cwd=PROJECT, stdout=subprocess.PIPE) as process:
        memory = Sampled(partial(tree, psutil.Process(process.pid)))
        with memory.running():
            said, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{way} ended with {process.returncode}")
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found | {"memory_mb": memory.peak_mb}


def _command(way: str, folder: Path) -> list[str]:
    return [sys.executable, "-m", "benchmarks.serving.batch_ways", way, str(folder)]


def _killed(folder: Path, what: str, total: int) -> list[Claim]:
    """Kill a run and all its processes in the middle, run it again, compare its rows with the pictures."""
    with subprocess.Popen(
        _command("ours", folder), cwd=PROJECT, stdout=subprocess.DEVNULL, start_new_session=True
    ) as process:
        while process.poll() is None and len(list(folder.glob(FINISHED))) < total // 2:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    kept = len(list(folder.glob(FINISHED)))
    resumed = _run("ours", folder)
    paths = Counter(resumed["paths"])
    pictures = {path.name for path in (folder / "pictures").iterdir()}
    wrong = len(pictures - paths.keys()) + sum(count - 1 for count in paths.values())
    return [
        at_most(
            f"bulk inference killed after {kept} of {total} shards and run again, {what}: rows lost or "
            "doubled",
            wrong,
            0,
            "rows",
        ),
        at_most(
            "pictures that it classified again, of those of finished shards",
            max(0, kept * SHARD_PICTURES - resumed["taken_over"]),
            SHARD_PICTURES - 1,  # the last shard is a smaller one
            "pictures",
        ),
    ]
