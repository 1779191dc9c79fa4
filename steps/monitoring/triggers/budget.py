"""What the retrainings of a calendar month came to, by the audit log and by the runs themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from materializers.audit_entry import AuditEntry
from materializers.trigger_decision import Hold
from steps.monitoring.triggers.settings import BudgetSettings
from steps.past_runs import past_runs

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse, StepRunResponse

    from materializers.signatures import TrustedKeys

PIPELINE = "continuous"
HOUR_S = 3600


@dataclass(frozen=True)
class Spent:
    """What a month's retrainings came to so far.

    Args:
        runs: retrainings that were decided on.
        gpu_hours: that their steps took.
        longest: GPU-hours of the one that took most of them: what the next may take.
    """

    runs: int
    gpu_hours: float
    longest: float


def month_of(now: datetime) -> datetime:
    """The first moment of a time's calendar month, in UTC."""
    return now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def spent(
    model_name: str, *, gpus: Mapping[str, int], trusted: TrustedKeys, now: datetime, but: str | None = None
) -> Spent:
    """What the retrainings of this month came to.

    Runs count by the audit log, which nobody edits unseen; a run counts from the moment it was decided on.

    Args:
        model_name: the registered model.
        gpus: the GPUs that a step is given, by its name; steps with none are not counted.
        trusted: the public keys that count.
        now: the time.
        but: the id of a run that is not counted: the one that asks.

    Raises:
        ServiceUnreachable: the audit log cannot be read.
    """
    from steps.registry.audit import sound_entries

    since = month_of(now)
    decided = sound_entries("decide", {"model": model_name, "retrain": "yes"}, trusted)
    hours = [
        _gpu_hours(run, gpus, now)
        for run in past_runs(model_name, PIPELINE, since=since)
        if str(run.id) != but
    ]
    return Spent(runs=count_since(decided, since), gpu_hours=sum(hours), longest=max(hours, default=0.0))


def count_since(decided: Sequence[AuditEntry], since: datetime) -> int:
    """How many decisions were reached since then."""
    return sum(entry.at >= since for entry in decided)


def budget_holds(spent: Spent, settings: BudgetSettings) -> tuple[Hold, Hold]:
    """Whether one more retraining goes past the month's budget; of GPU-hours one that takes the longest."""
    needed = spent.gpu_hours + spent.longest
    left = "it begins anew with the month; in urgent cases a person trains: python run.py --train"
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


def _gpu_hours(run: PipelineRunResponse, gpus: Mapping[str, int], now: datetime) -> float:
    """The hours that a run's steps took, times their GPUs; of a step that is going, up to now."""
    return sum(
        _hours(step_run, now) * gpus[name] for name, step_run in run.steps.items() if gpus.get(name, 0)
    )


def _hours(step_run: StepRunResponse, now: datetime) -> float:
    if step_run.start_time is None or str(step_run.status) == "cached":
        return 0.0
    begun = step_run.start_time.replace(tzinfo=UTC)
    ended = now if step_run.end_time is None else step_run.end_time.replace(tzinfo=UTC)
    return max((ended - begun).total_seconds(), 0.0) / HOUR_S
