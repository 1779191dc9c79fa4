"""What runs when: say what was scheduled, pause and resume it, remove it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from actions.result import ActionResult
from materializers.schedule import DEFAULT_ZONE, Schedule, no_such_schedule
from pipelines.results import PipelineResult
from pipelines.scheduling import schedule_name
from steps.orchestrator import Orchestrator, active_orchestrator


def as_kept(result: PipelineResult, *, model: str) -> ActionResult | PipelineResult:
    """What ``--schedule`` came to; the pipeline's own entry where it was refused."""
    if result.exit_code:
        return result
    orchestrator = active_orchestrator()
    kept = _find(orchestrator, schedule_name(result.pipeline, model))
    said = f"{kept.name}: {kept.cron} ({kept.time_zone}){_next(kept)}"
    note = scheduler_missing(orchestrator, [kept])
    return ActionResult(
        action="schedule",
        status="done",
        reasons=(said, note) if note else (said,),
        details=kept.model_dump(mode="json"),
    )


def pause_schedule(name: str) -> ActionResult:
    """Pause a schedule; resume it where it is paused already.

    Raises:
        UsageError: there is none of this name.
    """
    orchestrator = active_orchestrator()
    pausing = not _find(orchestrator, name).paused
    orchestrator.pause(name, pausing)
    changed = _find(orchestrator, name)
    did = "is paused; the same command resumes it" if pausing else f"is resumed{_next(changed)}"
    details = changed.model_dump(mode="json")
    return ActionResult(action="pause", status="done", reasons=(f"{name} {did}",), details=details)


def unschedule(name: str) -> ActionResult:
    """Remove a schedule; a run that it started goes on.

    Raises:
        UsageError: there is none of this name.
    """
    orchestrator = active_orchestrator()
    removed = _find(orchestrator, name)
    orchestrator.remove(name)
    return ActionResult(
        action="unschedule",
        status="done",
        reasons=(f"{name} is removed; what it started goes on",),
        details=removed.model_dump(mode="json"),
    )


def scheduler_missing(orchestrator: Orchestrator, schedules: Sequence[Schedule]) -> str | None:
    """A sentence where something is scheduled that nothing fires; None where all is well."""
    book = orchestrator.book()
    if book is None or all(schedule.paused for schedule in schedules) or book.holder() is not None:
        return None
    return "No scheduler runs, so nothing is fired: python run.py --scheduler"


def shown(time: datetime | str | None) -> str:
    """A time of a schedule as it is listed, in UTC."""
    if time is None:
        return "–"
    moment = datetime.fromisoformat(time) if isinstance(time, str) else time
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def state(schedule: dict[str, Any]) -> str:
    """Whether a schedule, as it is listed, fires."""
    return "paused" if schedule["paused"] else "active"


def cron_in_zone(schedule: dict[str, Any]) -> str:
    """The cron expression of a schedule, as it is listed, with the time zone where that is not UTC."""
    cron, zone = schedule["cron"], schedule["time_zone"]
    return str(cron) if zone == DEFAULT_ZONE else f"{cron} in {zone}"


def _find(orchestrator: Orchestrator, name: str) -> Schedule:
    """The schedule of this name.

    Raises:
        UsageError: there is none; those there are, are named.
    """
    schedules = orchestrator.schedules()
    for schedule in schedules:
        if schedule.name == name:
            return schedule
    raise no_such_schedule(name, (schedule.name for schedule in schedules))


def _next(schedule: Schedule) -> str:
    return f", next {shown(schedule.next_fire)} UTC" if schedule.next_fire else ""
