"""The same pipelines on both stacks: what ran to its end, whether it is the same, and what a step costs."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.claim import Claim


def measure(quick: bool) -> list[Claim]:
    """Measure on a remote stack of its own, which is gone afterwards."""
    from benchmarks.kubeflow import parity

    with tempfile.TemporaryDirectory(prefix="shutterline-benchmark-") as name:
        return parity.measure(Path(name), quick=quick)
