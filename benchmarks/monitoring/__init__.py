"""Monitoring: how often an alarm is false, what is detected, and how long a decision takes."""

from __future__ import annotations

import importlib
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.claim import Claim, guarded

PARTS = ("decision_time", "false_alarms", "detection")


def measure(quick: bool, only: tuple[str, ...] = ()) -> list[Claim]:
    """Every claim, or those of some parts; quick: fewer trials. A part that fails is a claim that says so."""
    claims: list[Claim] = []
    with tempfile.TemporaryDirectory(prefix="shutterline-benchmark-") as name:
        for part in PARTS:
            if not only or part in only:
                claims += guarded(part, partial(_measure_part, part, Path(name) / part, quick=quick))
    return claims


def _measure_part(part: str, folder: Path, *, quick: bool) -> list[Claim]:
    folder.mkdir()
    claims: list[Claim] = importlib.import_module(f"{__name__}.{part}").measure(folder, quick=quick)
    return claims
