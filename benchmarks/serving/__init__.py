"""Serving and rolling out: what it costs, what it holds, and how often a rollout is decided rightly.

Each part is a module of this package; the parts follow one another, so that nothing runs beside what is
measured. The whole takes a little over an hour on two idle cores, of which the soak is 20.
"""

from __future__ import annotations

from benchmarks.claim import Claim, measure_parts

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
    return measure_parts(__name__, PARTS, only, quick=quick)
