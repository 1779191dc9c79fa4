"""Signals of the traffic: a confirmed alarm of monitoring on what is live.

One alarm alerts; two in a row, on windows that do not overlap, retrain. Alarms in a row, of whichever
version, are one spell: what was trained since it began is an answer to it. While that waits for a person
nothing is trained for the same spell again, and a spell retrains only so often, and not at once again:
pictures that look as the traffic does now have to come first, with their labels. After that a person has to
look, or the spell to end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import takewhile

from materializers.drift_report import DriftReport
from materializers.evidence import RegisteredVersion, was_live_tag
from materializers.release import Environment
from materializers.trigger_decision import Signal, SignalName
from steps.monitoring.history import Alarm, confirmed, declined, drifted, dropped
from steps.monitoring.triggers.settings import TriggerSettings

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
    traffic: Traffic | None,
    versions: Sequence[RegisteredVersion],
    settings: TriggerSettings,
    *,
    retrain_at: float,
) -> tuple[Signal, ...]:
    """Drift, performance and the business figure.

    Args:
        traffic: None where nothing is live.
        versions: of the model, the newest first.
        settings: how often a spell of alarms retrains.
        retrain_at: the population stability index from which on a fixed threshold retrains.
    """
    alarms: Mapping[SignalName, Alarm] = {
        "drift": Alarm(lambda report: _drifted(report, retrain_at), drifted.since),
        "performance": dropped,
        "business": declined,
    }
    return tuple(_signal(name, alarm, traffic, versions, settings) for name, alarm in alarms.items())


def _signal(
    name: SignalName,
    alarm: Alarm,
    traffic: Traffic | None,
    versions: Sequence[RegisteredVersion],
    settings: TriggerSettings,
) -> Signal:
    if traffic is None:
        return _said(name, 0, "nothing is live that could be watched")
    where = f"version {traffic.version} in {traffic.environment}"
    of_live = [each for each in traffic.reports if each.captured.model_digest == traffic.model_digest]
    told = [report for report in of_live if alarm(report) is not None]
    if not told or not alarm(told[0]):
        look = f"python run.py --monitor --environment {traffic.environment}"
        nothing = f"nothing could be said of {where} lately: {look}"
        return _said(name, 0, f"{where} raises no alarm in its newest window" if told else nothing)
    tried = _tried(_spell(traffic.reports, alarm), versions)
    answered = _answered(traffic, tried, told[0], settings)
    if answered is not None:
        return _said(name, 1, f"{where} raises an alarm, and {answered}")
    found = confirmed([each for each in of_live if _after(each, tried)], alarm)
    if found is None:
        return _said(name, 1, f"{where} raises an alarm that no window before it confirms yet")
    newer, older = found
    what = _why(name, newer)
    days = " and ".join(f"{each.captured.until:%Y-%m-%d %H:%M}" for each in (older, newer))
    reason = f"two alarms in a row on {where}, windows until {days} UTC: {what}"
    return _said(name, NEEDED, reason, fired=True)


def _answered(
    traffic: Traffic,
    tried: Sequence[RegisteredVersion],
    newest: DriftReport,
    settings: TriggerSettings,
) -> str | None:
    """What was done about a spell of alarms already, so that nothing is trained for it now; None: train."""
    if not tried:
        return None
    last = tried[0]
    if last.version > traffic.version and _waits(last, traffic.environment):
        return (
            f"version {last.version}, trained since, passed and waits: approve or reject it: "
            f'python run.py --approve {last.version} --by WHO --reason "…"'
        )
    if len(tried) >= settings.alarm_retrainings:
        return (
            f"version {last.version} was trained for it already, the last of {len(tried)}: look at the "
            "report; where the traffic is as it should be: python run.py --rebase-reference --environment "
            f"{traffic.environment} --by WHO --reason TEXT"
        )
    after = last.created + timedelta(days=settings.alarm_wait_days)
    if newest.captured.until < after:
        return (
            f"version {last.version} was trained for it already: not again before {after:%Y-%m-%d %H:%M} UTC"
        )
    return None


def _after(report: DriftReport, tried: Sequence[RegisteredVersion]) -> bool:
    """Whether a window ended after the last version that was trained for the same spell."""
    return not tried or report.captured.until > tried[0].created


def _why(name: SignalName, report: DriftReport) -> str:
    """What an alarm measured."""
    business = report.business
    if name == "business" and business is not None:
        return business.reasons[0]
    return report.reasons[0] if name == "drift" else report.performance.reasons[0]


def _spell(reports: Sequence[DriftReport], alarm: Alarm) -> list[DriftReport]:
    """The alarms in a row, the newest first, of whichever version was live."""
    told = [report for report in reports if alarm(report) is not None]
    return list(takewhile(alarm, told))


def _tried(spell: Sequence[DriftReport], versions: Sequence[RegisteredVersion]) -> list[RegisteredVersion]:
    """What was trained since a spell began, the newest first."""
    begun = spell[-1].captured.until
    return [version for version in versions if version.created > begun]


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
