"""What is registered, what is live, what ran, and whether the records agree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field
from zenml.client import Client

from actions.schedules import scheduler_missing, shown
from actions.wait import looked_at_by
from materializers.audit_log import rejection_of
from materializers.drift_report import DriftReport
from materializers.errors import ServiceUnreachable, ShutterlineError
from materializers.evidence import DECISION, RegisteredVersion, read_versions
from materializers.release import Arm, Environment, Release
from materializers.report import Record
from pipelines.config import Config
from pipelines.results import was_refused
from steps.data.parent import last_version
from steps.deployment.comparing import last_observation
from steps.deployment.conclude import was_logged
from steps.deployment.deployer import active_deployer
from steps.deployment.rollback import how_to_end
from steps.deployment.rollout import rollouts
from steps.monitoring.alerts.alert import open_alerts
from steps.monitoring.alerts.waiting import waiting_version
from steps.monitoring.history import last_reports
from steps.monitoring.triggers.brake import brake_hold, in_vain, last_release
from steps.monitoring.triggers.budget import spent
from steps.orchestrator import find_orchestrator
from steps.registry.agreement import disagreements
from steps.registry.aliases import CHAMPION, live_alias
from steps.registry.change import unapproved_change

SHOWN_RUNS = 10
DATA = "data_version"
"""The registry tag that names the data which a version learnt from."""


class Waiting(Record):
    """Something that goes on only when a person does something, and what."""

    kind: Literal["approval", "change", "alarm", "brake"]
    reason: str


class Status(Record):
    """``--status``'s entry in ``results``."""

    stack: str
    models: tuple[dict[str, Any], ...]
    deployments: tuple[dict[str, Any], ...]
    rollouts: tuple[dict[str, Any], ...] = ()
    """What serves beside what is live, with what was observed last."""
    runs: tuple[dict[str, Any], ...]
    schedules: tuple[dict[str, Any], ...]
    next_run: dict[str, Any] | None = None
    """The schedule that is due first, of which pipeline, and when."""
    monitoring: tuple[dict[str, Any], ...] = ()
    """What the last look at each environment's traffic came to, and how old it is."""
    waiting: tuple[Waiting, ...] = ()
    """What waits for a person."""
    budget: dict[str, float] | None = None
    """What of this month's retrainings and GPU-hours is left; None where nobody knows."""
    alerts: tuple[dict[str, Any], ...] = ()
    """What goes on of what people were told, by name, and since when."""
    model: str = Field(exclude=True)
    decisions: dict[int, str] = Field(exclude=True, default_factory=dict)
    """What a person last decided, by version."""
    data: dict[int, str] = Field(exclude=True, default_factory=dict)
    """The data version that each version learnt from."""
    last_data: str | None = Field(exclude=True, default=None)
    """The data version that the next delivery is joined to."""
    others: tuple[str, ...] = Field(exclude=True, default=())
    """What is live of other models on the same stack, one sentence each."""
    differences: tuple[str, ...] = Field(exclude=True, default=())
    """Where registry, deployer and audit log disagree; what cannot be read; what nobody fires."""
    exit_code: int = Field(exclude=True, default=0)


def read_status(config: Config) -> Status:
    """Read the state of the active stack; a registry out of reach does not hide what is live."""
    client, name = Client(), config.product.model
    live = active_deployer().live()
    releases = [release for release in live if release.model_name == name]
    deployments = tuple(_deployment(release) for release in releases)
    notes = [
        note
        for release, shown in zip(releases, deployments, strict=True)
        for note in _not_as_released(release, healthy=shown["healthy"])
    ]
    notes += active_deployer().faults(name)
    try:
        versions = read_versions(name)
        notes, exit_code = [*differences(name), *notes, *_unlogged(name, versions)], 0
    except ServiceUnreachable as error:
        versions, notes, exit_code = [], [str(error), *notes], error.exit_code
    schedules, unfired = _schedules()
    watched = last_reports(name)
    budget, brake = _retraining(config, versions)
    alerts, untold = _alerts(name)
    return Status(
        stack=client.active_stack_model.name,
        models=tuple(_model(entry) for entry in versions),
        deployments=deployments,
        rollouts=tuple(_rollout(rolling) for rolling in rollouts() if rolling.model_name == name),
        runs=tuple(_runs(name)),
        schedules=schedules,
        next_run=_next_run(schedules),
        monitoring=tuple(map(_watched, watched.values())),
        waiting=(*_waiting(config, versions, watched.values()), *brake),
        budget=budget,
        alerts=alerts,
        model=name,
        decisions={entry.version: entry.tag(DECISION) for entry in versions if DECISION in entry.tags},
        data={entry.version: entry.tag(DATA) for entry in versions if DATA in entry.tags},
        last_data=last_version(name),
        others=tuple(_other(release) for release in live if release.model_name != name),
        differences=(*notes, *unfired, *untold),
        exit_code=exit_code,
    )


def _unlogged(model_name: str, versions: list[RegisteredVersion]) -> list[str]:
    """What the registry says of versions and the audit log does not; or why nobody can tell."""
    try:
        return disagreements(model_name, versions, active_deployer().trusted_keys())
    except ShutterlineError as error:
        return [str(error)]


def _retraining(
    config: Config, versions: list[RegisteredVersion]
) -> tuple[dict[str, float] | None, tuple[Waiting, ...]]:
    """What is left of the month's budget, and the brake where it holds; nothing without a log to read."""
    name, settings, trusted = config.product.model, config.trigger, active_deployer().trusted_keys()
    try:
        used = spent(name, learning=config.running.learning, trusted=trusted, now=datetime.now(UTC))
        brake = brake_hold(in_vain(versions, last_release(name, trusted)), settings.brake_after)
    except ShutterlineError:  # what keeps it from being read is told with the log's
        return None, ()
    left = {
        "runs": max(settings.budget.runs - used.runs, 0),
        "gpu_hours": max(settings.budget.gpu_hours - used.gpu_hours, 0.0),
    }
    return left, (Waiting(kind="brake", reason=brake.reason),) if brake.holds else ()


def _alerts(model_name: str) -> tuple[tuple[dict[str, Any], ...], tuple[str, ...]]:
    """The alerts that go on, and what people were not told of yet."""
    try:
        found = open_alerts(model_name)
    except ShutterlineError as error:
        return (), (str(error),)
    shown = tuple(
        {
            "name": each.alert.name,
            "severity": each.severity,
            "about": each.alert.about,
            "since": each.since.isoformat(),
        }
        for each in found.open
    )
    count = len(found.untold)
    note = (
        f"{count} messages have not been told yet: a target is down, or it is quiet now; see docs/alerts.md"
    )
    return shown, (note,) if count else ()


def _schedules() -> tuple[tuple[dict[str, Any], ...], tuple[str, ...]]:
    """What is scheduled, and what is to be said about it; nothing where the stack keeps no schedules."""
    orchestrator = find_orchestrator()
    if orchestrator is None:
        return (), ()
    try:
        found = orchestrator.schedules()
        note = scheduler_missing(orchestrator, found)
    except ShutterlineError as error:
        return (), (str(error),)
    return tuple(schedule.model_dump(mode="json") for schedule in found), (note,) if note else ()


def _not_as_released(release: Release, *, healthy: bool) -> list[str]:
    """In which way a live release runs otherwise than it was released, or is one that nobody released.

    The deployer's record says what is live; the audit log, which nobody edits unseen, has to say the same.
    """
    arm, where = release.candidate, f"--environment {release.environment}"
    if arm is None or not release.recorded:  # what is pending is told elsewhere
        return []
    live, found = f"Version {arm.version} is live in {release.environment}", []
    mend = f"python run.py --rollback {where}, or: python run.py --deploy {where} --version {arm.version}"
    if not healthy:
        found.append(
            f"{live}, but {release.url} does not answer as that version, unaltered: it is down, or was "
            f"changed past the deployer: {mend}"
        )
    try:
        trusted = active_deployer().trusted_keys()
        rejection = rejection_of(release.model_name, arm.version, arm.model_digest, trusted)
        if rejection is not None:
            found.append(
                f"{live}, and was rejected by {rejection.by} ({rejection.reason}), as entry "
                f"{rejection.number} of the audit log says. To end that: {how_to_end(release)}"
            )
        if not was_logged(release):
            found.append(
                f"{live} by the deployer's record, but the audit log has no release of that version on that "
                "model, verdict and approval: one of them was edited. See python run.py --audit, then: "
                f"{mend}"
            )
    except ShutterlineError as error:
        found.append(str(error))
    return found


def differences(model_name: str) -> list[str]:
    """Where the registry's aliases name another version, or another model, than the deployer holds.

    Raises:
        ServiceUnreachable: the registry cannot be read.
    """
    live = [one for one in active_deployer().live() if one.model_name == model_name and one.recorded]
    if not live:
        return []
    versions = read_versions(model_name)
    found = (_difference(release.environment, release.candidate, versions) for release in live)
    return [line for line in found if line]


def _difference(environment: Environment, arm: Arm | None, versions: list[RegisteredVersion]) -> str | None:
    """Where the registry says otherwise than ``arm`` is live in ``environment``; None where it agrees."""
    if arm is None:
        return None
    alias, back = live_alias(environment), f"--rollback --environment {environment}"
    named = next((entry for entry in versions if alias in entry.aliases), None)
    live = f"Version {arm.version} is live in {environment}"
    if all(entry.version != arm.version for entry in versions):
        return (
            f"{live}, but the registry has no such version any more: put the registry back, or begin "
            "anew: python run.py --stop"
        )
    if named is None or named.version != arm.version:
        says = f"version {named.version}" if named else "none"
        return (
            f"{live}, but the registry's alias {alias!r} names {says}: python run.py {back}, or set the "
            f"alias back to version {arm.version}"
        )
    digest = named.tag("model_digest")
    if digest != arm.model_digest:
        return (
            f"{live} with the model {arm.model_digest[:12]}, but the registry's version {arm.version} is "
            f"{digest[:12]}: one of them was altered or replaced. Put the registry back, or: python run.py "
            f"{back}"
        )
    return None


def _model(entry: RegisteredVersion) -> dict[str, Any]:
    tags = entry.tags
    metrics = {
        key: float(tags[key]) if key in tags else None for key in ("accuracy", "f1_macro", "latency_p99_ms")
    }
    return {
        "version": entry.version,
        "aliases": list(entry.aliases),
        "verdict": tags.get("verdict", "not_assessed"),
        "metrics": metrics,
    }


def _deployment(release: Release) -> dict[str, Any]:
    return {
        "environment": release.environment,
        "version": release.candidate.version if release.candidate else None,
        "url": release.url,
        "healthy": active_deployer().healthy(release),
        "since": release.since.isoformat() if release.since else None,
        "data": release.candidate.verdict.evidence.data if release.candidate else None,
    }


def _next_run(schedules: tuple[dict[str, Any], ...]) -> dict[str, Any] | None:
    """What is due first of what is not paused."""
    due = [each for each in schedules if each["next_fire"] is not None]
    if not due:
        return None
    first = min(due, key=lambda each: datetime.fromisoformat(each["next_fire"]))
    return {"schedule": first["name"], "pipeline": first["pipeline"], "at": first["next_fire"]}


def _watched(report: DriftReport) -> dict[str, Any]:
    """What a look at a window of traffic came to."""
    captured = report.captured
    return {
        "environment": captured.environment,
        "version": captured.version,
        "until": captured.until.isoformat(),
        "age_hours": round((datetime.now(UTC) - captured.until).total_seconds() / 3600, 1),
        "alarm": report.alarm,
        "drift": report.outcome,
        "drifting": [signal.name for signal in report.signals if signal.outcome == "drift"],
        "performance": report.performance.outcome,
        "current_accuracy": report.performance.accuracy.value,
        "num_predictions": captured.pictures,
    }


def _waiting(
    config: Config, versions: list[RegisteredVersion], watched: Iterable[DriftReport]
) -> Iterator[Waiting]:
    """What goes on only when a person does something."""
    passed = waiting_version(versions)
    if passed is not None:
        number = passed.version
        said = f"Version {number} passed, and production needs a person who approves it: python run.py"
        yield Waiting(kind="approval", reason=f'{said} --approve {number} --by WHO --reason "…"')
    if any(CHAMPION in entry.aliases for entry in versions):
        try:
            refusal = unapproved_change(config.product.model, config.change, config.approval)
        except ShutterlineError as error:
            refusal = str(error)
        if refusal is not None:
            yield Waiting(kind="change", reason=refusal)
    for report in watched:
        if report.alarm:
            where, until = report.captured.environment, shown(report.captured.until)
            said = f"The last look at {where}, at what came until {until} UTC, is an alarm: "
            yield Waiting(kind="alarm", reason=said + "; ".join(report.reasons))


def _rollout(rolling: Release) -> dict[str, Any]:
    """What is rolling out, and who looks at it."""
    return {
        "environment": rolling.environment,
        "version": rolling.candidate.version if rolling.candidate else None,
        "champion": rolling.champion.version if rolling.champion else None,
        "mode": rolling.mode,
        "share": rolling.share,
        "stage": rolling.stage,
        "since": rolling.since.isoformat() if rolling.since else None,
        "rollout": rolling.rollout,
        "healthy": active_deployer().healthy(rolling),
        "observed": _observed(rolling),
        "looked_at_by": looked_at_by(rolling.model_name, rolling.environment),
    }


def _observed(rolling: Release) -> dict[str, Any] | None:
    """What the last look came to; None where there was none yet."""
    last = last_observation(rolling)
    if last is None:
        return None
    return {
        "answer": last.answer,
        "reasons": [*last.reasons, *last.missing],
        "requests": last.requests_candidate,
        "champion_requests": last.requests_champion,
        "until": last.seen_until.isoformat(),
        "deadline": last.deadline.isoformat(),
    }


def _other(release: Release) -> str:
    version = release.candidate.version if release.candidate else None
    return f"{release.model_name} version {version} is live in {release.environment}: {release.url}"


def _runs(model_name: str) -> list[dict[str, Any]]:
    runs = Client().list_pipeline_runs(
        tags=f"model:{model_name}", sort_by="desc:created", size=SHOWN_RUNS, hydrate=True
    )
    return [
        {
            "name": run.name,
            "pipeline": run.pipeline.name if run.pipeline else None,
            "status": "refused" if was_refused(run) else str(run.status),
            "started": run.start_time.replace(tzinfo=UTC).isoformat() if run.start_time else None,
        }
        for run in runs
    ]
