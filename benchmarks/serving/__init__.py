"""Serving and rolling out: what it costs, what it holds, and how often a rollout is decided rightly.

Each part is a module of this package; the parts follow one another, so that nothing runs beside what is
measured. The whole takes a little over an hour on two idle cores, of which the soak is 20.
"""

from __future__ import annotations

import importlib
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.claim import Claim, guarded

PARTS = (
    "request_cost",
    "int8",
    "batch",
    "rehearsals",
    "fuzzing",
    "rollouts",
    "live_rehearsals",
    "large",
    "loads",
)
"""In this order: what takes longest comes last."""


def measure(quick: bool, only: tuple[str, ...] = ()) -> list[Claim]:
    """Every claim, or those of some parts; quick: fewer rounds. A part that fails is a claim that says so."""
    claims: list[Claim] = []
    with tempfile.TemporaryDirectory(prefix="shutterline-benchmark-") as name:
        for part in PARTS:
            if not only or part in only:
                claims += guarded(part, partial(_measure_part, part, Path(name) / part, quick=quick))
    return claims


def _measure_part(part: str, folder: Path, *, quick: bool) -> list[Claim]:
    claims: list[Claim] = importlib.import_module(f"{__name__}.{part}").measure(folder, quick=quick)
    return claims
