"""The story of one run's decision: on what it was made, what it came to, where that went, who allowed it.

It is told from the run's stored reports and from the audit log, so that it can be told years later.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from zenml.client import Client

from actions.result import COMMAND, ActionResult
from materializers.audit_entry import Act, AuditEntry
from materializers.audit_log import sound_entries
from materializers.data_report import DataReport
from materializers.drift_report import DriftReport, DriftSignal
from materializers.errors import DamagedArtifact, UsageError
from materializers.reaction import Reaction
from materializers.release import Release
from materializers.report import counted
from materializers.trigger_decision import Signal, TriggerDecision
from materializers.verdict import Verdict
from pipelines.config import Config
from pipelines.results import read_result
from steps.deployment.deployer import active_deployer

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse

LATEST = "latest"
SHOWN_EVENTS = 4
NAMED = 5
"""Of runs that may have been meant, so many are named."""
LOOKED_THROUGH = 500
"""The newest runs, among which a name that there is not is looked for."""
SHOWN_DIGITS = 12
REPORTS = ("data_report", "decision", "verdict", "release", "drift_report", "reaction")
WENT: tuple[Act, ...] = (
    *("gate", "approve", "reject", "roll-out", "end-rollout"),
    *("release", "rollback", "withdraw"),
)
"""What the log says of what became of a version, in the order of its life."""


def tell_why(config: Config, asked: str) -> ActionResult:
    """What a run of the configured model decided, and why, in about ten lines.

    Args:
        config: names the model.
        asked: the run's name, the beginning of one that no other run has, or ``latest``.

    Raises:
        UsageError: there is no such run, or there are several; the nearest are named.
        ServiceUnreachable: the artifact store does not answer.
    """
    run = _find(config.product.model, asked)
    reports, unread = _reports(run)
    result = None
    if run.status.is_finished and not unread:
        try:
            result = read_result(_pipeline(run), run)
        except (DamagedArtifact, OSError) as error:
            unread.append(f"what it came to cannot be read any more: {error}")
    log = _log(config.product.model, result.version if result else None, reports)
    lines = [
        _headline(run, result.status if result else str(run.status)),
        *unread,
        *_story(reports),
        *(result.reasons if result and result.status == "failed" else ()),
        *_history(log),
        *_digests(reports),
    ]
    details = {
        "run": run.name,
        "pipeline": _pipeline(run),
        "status": result.status if result else str(run.status),
        "started": _moment(run.start_time),
        "ended": _moment(run.end_time),
        "version": result.version if result else None,
        "verdict": result.verdict if result else None,
        "reasons": list(result.reasons) if result else [],
        "decision": _dumped(reports.get("decision")),
        "monitoring": result.monitoring if result else None,
        "release": result.release if result else None,
        "history": [
            {**entry.model_dump(mode="json", include={"number", "act", "by", "reason", "subject", "at"})}
            for entry in log
        ],
    }
    return ActionResult(action="why", status="done", reasons=tuple(lines), details=details)


def _find(model: str, asked: str) -> PipelineRunResponse:
    """The run that is meant.

    Raises:
        UsageError: there is none, or several.
    """
    client, tag = Client(), f"model:{model}"
    filters: dict[str, Any] = {} if asked == LATEST else {"name": f"startswith:{asked}"}
    found = client.list_pipeline_runs(
        tags=tag, sort_by="desc:created", size=NAMED + 1, hydrate=True, **filters
    ).items
    exact = [run for run in found if run.name == asked] or found[: asked == LATEST]
    if exact or len(found) == 1:
        return (exact or found)[0]
    if found:
        named = ", ".join(run.name for run in found[:NAMED])
        more = " and more" if len(found) > NAMED else ""
        raise UsageError(f"More than one run of {model} is called {asked}…: {named}{more}")
    names = [
        run.name for run in client.list_pipeline_runs(tags=tag, sort_by="desc:created", size=LOOKED_THROUGH)
    ]
    near = difflib.get_close_matches(asked, names, n=NAMED, cutoff=0.0)
    hint = f"the nearest are: {', '.join(near)}" if near else "it has none"
    raise UsageError(f"{model} has no run {asked!r}; {hint}. See python run.py --status")


def _pipeline(run: PipelineRunResponse) -> str:
    return run.pipeline.name if run.pipeline else "unknown"


def _reports(run: PipelineRunResponse) -> tuple[dict[str, Any], list[str]]:
    """What a run's steps reported, by name, and a sentence for each report that cannot be read any more."""
    found: dict[str, Any] = {}
    unread = []
    for step_run in run.steps.values():
        for name, artifacts in step_run.outputs.items():
            if name in REPORTS:
                try:
                    found[name] = artifacts[0].load()
                except (DamagedArtifact, OSError) as error:
                    unread.append(f"its {name.replace('_', ' ')} cannot be read any more: {error}")
    return found, unread


def _headline(run: PipelineRunResponse, status: str) -> str:
    """Which run, of which pipeline, when, how long, and what it came to."""
    took = ""
    if run.start_time and run.end_time:
        took = f", {(run.end_time - run.start_time).total_seconds():,.0f} s"
    return f"{run.name}: {_pipeline(run)}, {status}, began {_moment(run.start_time) or '–'}{took}"


def _moment(time: datetime | None) -> str | None:
    return None if time is None else f"{time.replace(tzinfo=time.tzinfo or UTC):%Y-%m-%d %H:%M:%S} UTC"


def _story(reports: dict[str, Any]) -> Iterator[str]:
    """What the reports say, in the order of the steps; a line each."""
    data: DataReport | None = reports.get("data_report")
    decision: TriggerDecision | None = reports.get("decision")
    verdict: Verdict | None = reports.get("verdict")
    release: Release | None = reports.get("release")
    watched: DriftReport | None = reports.get("drift_report")
    if data is not None:
        why = f": {'; '.join(data.reasons())}" if data.outcome == "refused" else ""
        set_aside = counted(len(data.set_aside), "picture")
        yield f"data {_short(data.data)}: {data.outcome}{why}; {set_aside} set aside"
    if decision is not None:
        yield f"fired: {_signals(decision.signals, fired=True)}"
        yield f"did not fire: {_signals(decision.signals, fired=False)}"
        yield f"decided: {'retrain' if decision.retrain else 'do not retrain'}; {'; '.join(decision.reasons)}"
    if watched is not None:
        yield from _watched(watched)
    yield from _reacted(reports.get("reaction"))
    if verdict is not None:
        why = f": {'; '.join(verdict.reasons())}" if verdict.outcome != "passed" else ""
        passed = sum(rule.outcome == "passed" for rule in verdict.rules)
        yield f"verdict: {verdict.outcome}, {passed} of {counted(len(verdict.rules), 'rule')} held{why}"
    if release is not None:
        version = f"version {release.candidate.version} " if release.candidate else ""
        why = f": {'; '.join(release.reasons)}" if release.reasons else ""
        yield f"in {release.environment}: {version}{release.status.replace('_', ' ')}{why}"


def _reacted(reaction: Reaction | None) -> Iterator[str]:
    """What followed from a drop of the accuracy; nothing where there was none."""
    if reaction is not None and reaction.outcome != "nothing":
        yield f"then: {reaction.outcome.replace('_', ' ')}; {'; '.join(reaction.reasons)}"


def _signals(signals: Sequence[Signal], *, fired: bool) -> str:
    """The signals that fired, or those that did not, each with its reason."""
    return "; ".join(f"{one.name} ({one.reason})" for one in signals if one.fired is fired) or "nothing"


def _watched(report: DriftReport) -> Iterator[str]:
    captured = report.captured
    yield (
        f"looked at version {captured.version} in {captured.environment}, {captured.since:%Y-%m-%d %H:%M} to "
        f"{captured.until:%Y-%m-%d %H:%M} UTC: {counted(captured.pictures, 'picture')}"
    )
    for outcome in ("drift", "no drift", "insufficient data"):
        named = [_beside_threshold(one) for one in report.signals if one.outcome == outcome]
        if named:
            yield f"{outcome}: {', '.join(named)}"
    decided = f"decided by {report.decided_by} thresholds"
    alarm = "an alarm; people were told" if report.alarm else "no alarm"
    yield f"{decided}: {report.outcome}; performance: {report.performance.outcome}; {alarm}"


def _beside_threshold(signal: DriftSignal) -> str:
    """A signal's name, and its value beside its threshold where it has both."""
    if signal.value is None or signal.threshold is None:
        return signal.name
    return f"{signal.name} {signal.value:.3g} of {signal.threshold:.3g}"


def _log(model: str, version: int | None, reports: dict[str, Any]) -> list[AuditEntry]:
    """What the audit log has of the version that a run was about, the oldest first."""
    if version is None or "drift_report" in reports:
        return []
    about, trusted = {"model": model, "version": str(version)}, active_deployer().trusted_keys()
    found = [entry for act in WENT for entry in sound_entries(act, about, trusted)]
    return sorted(found, key=lambda entry: entry.number)


def _history(log: list[AuditEntry]) -> Iterator[str]:
    """The last things that were done with the version."""
    if len(log) > SHOWN_EVENTS:
        version = log[0].subject["version"]
        yield f"{len(log) - SHOWN_EVENTS:,} more before that: {COMMAND} --lineage {version}"
    yield from map(_event, log[-SHOWN_EVENTS:])


def _event(entry: AuditEntry) -> str:
    """What was done with the version: by whom, where, and why."""
    version, where = entry.subject["version"], entry.subject.get("environment")
    place = f" in {where}" if where else ""
    what = f"{entry.act} of version {version}{place} by {entry.by}"
    return f"{entry.at:%Y-%m-%d %H:%M} UTC: {what}: {entry.reason}"


def _digests(reports: dict[str, Any]) -> Iterator[str]:
    """By what the evidence can be found again."""
    verdict: Verdict | None = reports.get("verdict")
    if verdict is not None:
        named = {"model": verdict.evidence.model, "report": verdict.evidence.report}
        named |= {"policy": verdict.evidence.policy, "code": verdict.evidence.code}
        yield "digests: " + ", ".join(f"{name} {_short(digest)}" for name, digest in named.items())


def _short(digest: str) -> str:
    return digest[:SHOWN_DIGITS]


def _dumped(decision: TriggerDecision | None) -> dict[str, Any] | None:
    return None if decision is None else decision.model_dump(mode="json")
