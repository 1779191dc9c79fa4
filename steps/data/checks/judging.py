"""What a check comes to: the one place where a measured value meets its limit."""

from __future__ import annotations

import math
from typing import Literal

from materializers.data_report import Check, Outcome
from steps.data.checks.limits import CheckLimit

Direction = Literal["at most", "at least", "under"]


def judged(
    name: str, measured: float | None, bound: CheckLimit, direction: Direction, reason: str, mend: str
) -> Check:
    """A check with the outcome that its numbers give.

    Args:
        name: of the check.
        measured: None, or no finite number, where it could not be measured: ``not_assessed``.
        bound: the limit, and whether going beyond it refuses or warns.
        direction: where the limit lies; of these only ``under`` excludes the limit itself.
        reason: a sentence with the measured value and the limit.
        mend: a sentence that says what to do; it is added unless the check passed.
    """
    if measured is None or not math.isfinite(measured):
        return not_assessed(name, bound, reason)
    holds = {
        "at most": measured <= bound.limit,
        "at least": measured >= bound.limit,
        "under": measured < bound.limit,
    }[direction]
    outcome: Outcome = "passed"
    if not holds:
        outcome = "refused" if bound.severity == "refuse" else "warned"
    return Check(
        name=name,
        outcome=outcome,
        severity=bound.severity,
        measured=measured,
        limit=bound.limit,
        reason=reason if holds else f"{reason} {mend}",
    )


def not_assessed(name: str, bound: CheckLimit, reason: str) -> Check:
    """A check that could not be made; with the severity ``refuse`` it refuses all the same."""
    return Check(
        name=name,
        outcome="not_assessed",
        severity=bound.severity,
        measured=None,
        limit=bound.limit,
        reason=reason,
    )
