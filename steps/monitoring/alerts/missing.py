"""Find runs and deliveries that did not happen within 1.5 times their period.

A scheduled run is missing when for half a period after the time of a fire the pipeline did not run for the
model, by whomever it was started, nor its schedule was fired; the period is the time from the fire before. It
is over when either happens: a fire that ended before a run began, as nothing is live to be looked at, is a
check that was made. Where a model has several schedules of one pipeline, only what a schedule started itself
is a run of it.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import get_args

from materializers.alert import Alert
from materializers.release import Environment
from materializers.schedule import LONGEST_PERIOD, SCHEDULE_KEY, Schedule, next_fire, period
from steps.data.parent import first_stored_at, last_version
from steps.deployment.schedule import look_name
from steps.monitoring.alerts.alert import clear_alert, open_subjects, raise_alert
from steps.orchestrator import find_orchestrator
from steps.past_runs import past_runs
from steps.run_tags import model_tag

RUN_MISSING, DELIVERY_MISSING = "run_missing", "delivery_missing"
PERIODS = 1.5
"""From the last time on; after that it is missing."""
MEND = "See what is scheduled, and whether anybody fires it: python run.py --schedules"
PERIODS_BACK = 3
"""As far back a run is looked for among those of several schedules: one that is older is missed anyway."""
LEAST_LATE = timedelta(hours=1)
"""Runs of one stack may wait for each other: what comes every five minutes is not missed at once."""


def missing_since(schedule: Schedule, last_run: datetime | None, *, now: datetime) -> datetime | None:
    """The fire after which a schedule's pipeline did not run, and should have by now; None: all is well.

    Args:
        schedule: one that fires; nobody misses the runs of one that is paused, or of which nobody knows when
            it was made and that never ran.
        last_run: when its pipeline began to run, or it was fired, last.
        now: the time, with its zone.
    """
    begun = max((at for at in (schedule.since, last_run) if at is not None), default=None)
    if schedule.paused or begun is None:
        return None
    fire = next_fire(schedule.cron, begun, schedule.time_zone)
    if fire is None or fire >= now:
        return None
    length = period(schedule.cron, fire, schedule.time_zone)
    late = LEAST_LATE if length is None else max(LEAST_LATE, (PERIODS - 1) * length)
    return fire if now > fire + late else None


def look_for_missing_runs(model_name: str, *, now: datetime) -> list[str]:
    """Raise an alert for each schedule of a model whose run is missing, and end those that are over.

    Returns:
        The names of the schedules that miss a run.

    Raises:
        ServiceUnreachable: the schedules, or the alerts, cannot be read.
    """
    orchestrator = find_orchestrator()
    if orchestrator is None:
        return []
    schedules = [each for each in orchestrator.schedules() if is_of(each, model_name)]
    of_pipeline = Counter(each.pipeline for each in schedules)
    missing: dict[str, str] = {}
    for schedule in schedules:
        shared = of_pipeline[schedule.pipeline] > 1
        began = (_last_own_run if shared else _last_run)(schedule, model_name, now)
        last_run = max((at for at in (began, schedule.last_fire) if at is not None), default=None)
        fire = missing_since(schedule, last_run, now=now)
        if fire is not None:
            missing[schedule.name] = _reason(schedule, fire, last_run)
    for name, reason in missing.items():
        raise_alert(
            Alert(
                name=RUN_MISSING,
                severity="warning",
                model_name=model_name,
                subject=f"schedule {name}",
                reasons=(reason, MEND),
            ),
            now=now,
        )
    for subject in open_subjects(RUN_MISSING, model_name) - {f"schedule {name}" for name in missing}:
        reason = "It ran since, or its schedule was changed."
        clear_alert(RUN_MISSING, model_name, subject=subject, reason=reason, now=now)
    return list(missing)


def look_for_missing_delivery(
    model_name: str, source_name: str, *, hours: float | None, now: datetime
) -> bool:
    """Raise an alert where no new data of a model came for 1.5 times the interval in which they are expected.

    That it is over is told by the run that took a delivery, and here where one came or none is expected.

    Args:
        model_name: the registered model.
        source_name: who delivers.
        hours: the interval; None: nothing is expected.
        now: the time, with its zone.

    Returns:
        Whether it is missing.
    """
    version = None if hours is None else last_version(model_name)
    last = None if version is None else first_stored_at(version)
    if hours is None or last is None or now - last <= PERIODS * timedelta(hours=hours):
        if hours is None or (last is not None and now - last <= timedelta(hours=hours)):
            clear_alert(DELIVERY_MISSING, model_name, now=now)
        return False
    reason = (
        f"The last new delivery came on {last:%Y-%m-%d %H:%M} UTC; one is expected every {hours:,g} hours. "
        "Ask the supplier where the next one is, or change validate.freshness.delivery_interval.limit."
    )
    raise_alert(missing_delivery(model_name, source_name, reason), now=now)
    return True


def missing_delivery(model_name: str, source_name: str, reason: str) -> Alert:
    """What people are told where a delivery did not come."""
    return Alert(
        name=DELIVERY_MISSING,
        severity="warning",
        model_name=model_name,
        subject=f"deliveries of {source_name}",
        reasons=(reason,),
    )


def is_of(schedule: Schedule, model_name: str) -> bool:
    """Whether a schedule is one of a model: its name says so, or the timetable that it is of."""
    if schedule.planned is not None:
        return schedule.planned.model == model_name
    looks = {look_name(model_name, environment) for environment in get_args(Environment)}
    return schedule.name == f"{schedule.pipeline}-{model_name}" or schedule.name in looks


def _last_run(schedule: Schedule, model_name: str, now: datetime) -> datetime | None:
    """When a schedule's pipeline was begun for a model last, whoever began it."""
    from zenml.client import Client

    page = Client().list_pipeline_runs(
        pipeline_name=schedule.pipeline, tags=model_tag(model_name), sort_by="desc:created", size=1
    )
    return page.items[0].created.replace(tzinfo=UTC) if page.items else None


def _last_own_run(schedule: Schedule, model_name: str, now: datetime) -> datetime | None:
    """When a run was begun last that carries a schedule's name."""
    length = period(schedule.cron, now, schedule.time_zone) or LONGEST_PERIOD
    runs = past_runs(model_name, schedule.pipeline, since=now - PERIODS_BACK * length)
    own = next((run for run in runs if run.config.extra.get(SCHEDULE_KEY) == schedule.name), None)
    return None if own is None else own.created.replace(tzinfo=UTC)


def _reason(schedule: Schedule, fire: datetime, last_run: datetime | None) -> str:
    before = f"it ran, or was fired, last on {last_run:%Y-%m-%d %H:%M} UTC" if last_run else "it never ran"
    return (
        f"Pipeline {schedule.pipeline} was to run on {fire:%Y-%m-%d %H:%M} UTC ({schedule.cron}) and did "
        f"not; {before}."
    )
