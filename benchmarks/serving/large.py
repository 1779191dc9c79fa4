"""A replica of a large network: what it sustains, in how much memory, and how many there have to be."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks.claim import Claim, at_most
from benchmarks.serving.exporting import encoded
from benchmarks.serving.live import Live, live
from benchmarks.serving.loads import MEMORY_LIMIT_MB, P99_LIMIT_MS, PICTURES, RATE_PER_S
from benchmarks.serving.memory import Sampled
from steps.evaluation.cost.assess import measure_service
from steps.evaluation.cost.settings import CostSettings

LARGE, LARGE_SIDE = "resnet50", 224
MAXIMUM_REPLICAS = 10


def measure(folder: Path, *, quick: bool) -> list[Claim]:
    """The claims about one replica; quick: fewer requests."""
    name, pictures = encoded(PICTURES)
    with live(folder, LARGE, LARGE_SIDE) as served:
        return _replicas(served, pictures, name, quick=quick)


def _replicas(served: Live, pictures: Sequence[bytes], name: str, *, quick: bool) -> list[Claim]:
    """What one replica of a large network sustains, and how many there have to be."""
    settings = CostSettings(requests=500, warm_up=20, seconds_at_offered_rate=5) if quick else CostSettings()
    memory = Sampled(served.processes)
    with memory.running():
        cost, _ = measure_service(served.url, pictures, settings)
    sustained = cost.sustained_per_s.value if cost.sustained_per_s is not None else None
    p99 = cost.sustained_p99_ms.value if cost.sustained_p99_ms is not None else None
    what = f"{LARGE} at {LARGE_SIDE}, {name}, one replica on {os.cpu_count()} cores"
    said = "none" if sustained is None else f"{sustained:.1f} requests a second"
    replicas = math.ceil(RATE_PER_S / sustained) if sustained else math.inf
    return [
        at_most(f"{what}: p99 at what it sustains, {said}", p99 or math.inf, P99_LIMIT_MS, "ms"),
        at_most(f"{what}: replicas for {RATE_PER_S:g} requests a second", replicas, MAXIMUM_REPLICAS, ""),
        at_most(f"{what}: memory, ingress and shipper included", memory.peak_mb, MEMORY_LIMIT_MB, "MB"),
    ]
