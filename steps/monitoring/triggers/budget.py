"""What the retrainings of a calendar month came to, by the audit log and by the runs themselves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from zenml.enums import ExecutionStatus

from materializers.trigger_decision import Hold
from steps.monitoring.triggers.settings import BudgetSettings, LearningSteps
from steps.past_runs import past_runs

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse, StepRunResponse

    from materializers.audit_entry import AuditEntry
    from materializers.signatures import TrustedKeys

PIPELINE = "continuous"
HOUR_S = 3600
GOES_ON = timedelta(hours=12)
"""Whatever was cut off is begun again by the next command or scheduler; the next night it is another try."""
REMEMBERED = timedelta(days=62)
"""How far back the longest retraining is looked for: on the first day of a month, too, one is known."""


@dataclass(frozen=True)
class Spent:
    """What a month's retrainings came to so far.

    Args:
        runs: retrainings that were decided on.
        gpu_hours: that their steps took.
        longest: GPU-hours of the one that took most of them lately, also before the month: what the next may
            take.
    """

    runs: int
    gpu_hours: float
    longest: float


def month_of(now: datetime) -> datetime:
    """The first moment of a time's calendar month, in UTC."""
    return now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def spent(
    model_name: str,
    *,
    learning: LearningSteps,
    trusted: TrustedKeys,
    now: datetime,
    but: str | None = None,
) -> Spent:
    """What the retrainings of this month came to.

    Runs count by the audit log, which nobody edits unseen; a run counts from the moment it was decided on.
    One that was killed and begun again counts once, see :func:`retrainings`.

    Args:
        model_name: the registered model.
        learning: the steps that GPU-hours are spent on; those that are given no GPU are not counted.
        trusted: the public keys that count.
        now: the time.
        but: the id of a run that is not counted: the one that asks.

    Raises:
        ServiceUnreachable: the audit log cannot be read.
    """
    from materializers.audit_log import sound_entries

    month, about = month_of(now), {"model": model_name, "retrain": "yes"}
    runs = retrainings(sound_entries("decide", about, trusted, since=month))
    if not any(learning.gpus.values()):
        return Spent(runs=runs, gpu_hours=0.0, longest=0.0)
    took = [
        (run.created.replace(tzinfo=UTC) >= month, _gpu_hours(run, learning, now))
        for run in past_runs(model_name, PIPELINE, since=min(month, now - REMEMBERED))
        if str(run.id) != but
    ]
    return Spent(
        runs=runs,
        gpu_hours=sum(hours for of_month, hours in took if of_month),
        longest=max((hours for _, hours in took), default=0.0),
    )


def retrainings(decided: Iterable[AuditEntry]) -> int:
    """How many retrainings were decided on.

    A decision on the same data, after the same version, within :data:`GOES_ON` is the same retraining, which
    goes on after it was cut off; one that crashes night after night counts each night.

    Args:
        decided: entries of decisions to retrain, of one model.
    """
    counted: dict[tuple[str, str], datetime] = {}
    number = 0
    for entry in sorted(decided, key=lambda each: each.at):
        about = (entry.subject["data_version"], entry.subject["after"])
        before = counted.get(about)
        if before is None or entry.at - before >= GOES_ON:
            counted[about] = entry.at
            number += 1
    return number


def budget_holds(spent: Spent, settings: BudgetSettings) -> tuple[Hold, Hold]:
    """Whether one more retraining goes past the month's budget; of GPU-hours one that takes the longest."""
    needed = spent.gpu_hours + spent.longest
    left = (
        "it begins anew with the month; in urgent cases a person trains: python run.py --train --source PATH"
    )
    runs, hours = spent.runs >= settings.runs, needed > settings.gpu_hours
    said = f"{spent.runs} of {settings.runs} retrainings of this month are used"
    took = f"{spent.gpu_hours:.1f} of this month's {settings.gpu_hours:g} GPU-hours are used"
    if hours:
        took += f", and one more may take {spent.longest:.1f}"
    return (
        Hold(
            name="budget_runs",
            value=spent.runs,
            limit=settings.runs,
            holds=runs,
            reason=f"{said}: {left}" if runs else said,
        ),
        Hold(
            name="budget_gpu_hours",
            value=spent.gpu_hours,
            limit=settings.gpu_hours,
            holds=hours,
            reason=f"{took}: {left}" if hours else took,
        ),
    )


def _gpu_hours(run: PipelineRunResponse, learning: LearningSteps, now: datetime) -> float:
    """The hours that a run's steps took, times their GPUs, each attempt: ``run.steps`` has the last ones."""
    from zenml.client import Client
    from zenml.utils.pagination_utils import depaginate

    attempts = depaginate(Client().list_run_steps, pipeline_run_id=run.id, exclude_retried=False)
    return sum(
        _hours(attempt, now, learning.timeouts_s.get(attempt.name)) * learning.gpus[attempt.name]
        for attempt in attempts
        if learning.gpus.get(attempt.name)
    )


def _hours(attempt: StepRunResponse, now: datetime, timeout_s: float | None) -> float:
    """How long an attempt took: one that did not complete, its timeout at most.

    One that was killed is open until somebody closes it, which may be days later, or never.
    """
    if attempt.start_time is None or attempt.status == ExecutionStatus.CACHED:
        return 0.0
    begun = attempt.start_time.replace(tzinfo=UTC)
    ended = now if attempt.end_time is None else attempt.end_time.replace(tzinfo=UTC)
    took_s = max((ended - begun).total_seconds(), 0.0)
    if attempt.status != ExecutionStatus.COMPLETED and timeout_s is not None:
        took_s = min(took_s, timeout_s)
    return took_s / HOUR_S
