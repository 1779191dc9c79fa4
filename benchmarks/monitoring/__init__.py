"""Monitoring: how often an alarm is false, what is detected, and how long a decision takes."""

from __future__ import annotations

from benchmarks.claim import Claim, measure_parts

PARTS = ("decision_time", "false_alarms", "detection", "year")


def measure(quick: bool, only: tuple[str, ...] = ()) -> list[Claim]:
    """Every claim, or those of some parts; quick: fewer trials. A part that fails is a claim that says so."""
    return measure_parts(__name__, PARTS, only, quick=quick)
