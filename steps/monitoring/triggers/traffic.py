"""Signals of the traffic: a confirmed alarm of monitoring on what is live.

One alarm alerts; two in a row, on windows that do not overlap, retrain. What was trained since then is an
answer to them: while it waits for a person, or before new windows confirm the alarm once more, nothing is
trained for the same reason again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from materializers.drift_report import DriftReport
from materializers.evidence import RegisteredVersion, was_live_tag
from materializers.release import Environment
from materializers.trigger_decision import Signal, SignalName
from steps.monitoring.history import Judge, confirmed, drifted, dropped

NEEDED = 2
"""Alarms in a row."""


@dataclass(frozen=True)
class Traffic:
    """What monitoring said of the live model, newest window first.

    Args:
        environment: the one that it is about.
        version: what is live there.
        model_digest: of the live model.
        reports: of this environment.
    """

    environment: Environment
    version: int
    model_digest: str
    reports: Sequence[DriftReport]


def traffic_signals(
    traffic: Traffic | None, last: RegisteredVersion | None, *, retrain_at: float
) -> tuple[Signal, ...]:
    """Drift, performance and the business figure.

    Args:
        traffic: None where nothing is live.
        last: the last registered version.
        retrain_at: the population stability index from which on a fixed threshold retrains.
    """
    judges: Mapping[SignalName, Judge] = {
        "drift": lambda report: _drifted(report, retrain_at),
        "performance": dropped,
    }
    return tuple(_signal(name, judge, traffic, last) for name, judge in judges.items())


def _signal(
    name: SignalName, judge: Judge, traffic: Traffic | None, last: RegisteredVersion | None
) -> Signal:
    if traffic is None:
        return _said(name, 0, "nothing is live that could be watched")
    where = f"version {traffic.version} in {traffic.environment}"
    of_live = [each for each in traffic.reports if each.captured.model_digest == traffic.model_digest]
    told = [report for report in of_live if judge(report) is not None]
    if not told:
        return _said(name, 0, f"nothing could be said of {where} lately: python run.py --monitor")
    if not judge(told[0]):
        return _said(name, 0, f"{where} raises no alarm in its newest window")
    if last is not None and last.version > traffic.version:
        if _waits(last, traffic.environment):
            reason = (
                f"{where} raises an alarm, and version {last.version}, trained since, passed and waits: "
                f'approve or reject it: python run.py --approve {last.version} --by WHO --reason "…"'
            )
            return _said(name, 1, reason)
        of_live = [each for each in of_live if each.captured.until > last.created]
    found = confirmed(of_live, judge)
    if found is None:
        return _said(
            name,
            1,
            f"{where} raises an alarm that no window before it, and after the last training, confirms yet",
        )
    newer, older = found
    what = newer.reasons[0] if name == "drift" else newer.performance.reasons[0]
    days = " and ".join(f"{each.captured.until:%Y-%m-%d %H:%M}" for each in (older, newer))
    return _said(
        name, NEEDED, f"two alarms in a row on {where}, windows until {days} UTC: {what}", fired=True
    )


def _waits(version: RegisteredVersion, environment: Environment) -> bool:
    """Whether a version passed, and neither went to an environment yet nor was turned down by a person."""
    was_live = was_live_tag(environment) in version.tags
    return version.tags.get("verdict") == "passed" and not version.rejected and not was_live


def _drifted(report: DriftReport, retrain_at: float) -> bool | None:
    """Whether a window drifted enough to train again; of fixed thresholds the higher one decides that."""
    said = drifted(report)
    if not said or report.decided_by == "calibrated":
        return said
    found = [each for each in report.signals if each.fixed is not None and each.fixed.exceeded]
    return any(
        each.kind == "prediction" or (each.fixed is not None and each.fixed.value > retrain_at)
        for each in found
    )


def _said(name: SignalName, alarms: int, reason: str, *, fired: bool = False) -> Signal:
    return Signal(name=name, value=alarms, limit=NEEDED, fired=fired, reason=reason)
