"""The main job: set-up, demo, accuracy, ZenML's bookkeeping, replacing a model under load, kill -9."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.claim import Claim


def measure(quick: bool) -> list[Claim]:
    """Measure every claim, each in a home of its own that is gone afterwards."""
    from benchmarks.main import bookkeeping, demo, killing, replacing

    with tempfile.TemporaryDirectory(prefix="shutterline-benchmark-") as name:
        folder = Path(name)
        return [
            *demo.measure_commands(folder / "commands"),
            *demo.measure(folder / "demo", quick=quick),
            *bookkeeping.measure(folder / "bookkeeping", quick=quick),
            *replacing.measure(folder / "replacing", quick=quick),
            *killing.measure(folder / "killing", quick=quick),
        ]
