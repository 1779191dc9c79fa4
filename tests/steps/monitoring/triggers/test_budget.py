"""A month's retrainings are counted, and one more has to fit into the budget."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from zenml import pipeline, step
from zenml.client import Client
from zenml.config.retry_config import StepRetryConfig
from zenml.enums import ExecutionStatus
from zenml.models import StepRunUpdate

from materializers.audit_entry import AuditEntry
from materializers.trigger_decision import Hold
from pipelines.config import load_config
from steps.monitoring.triggers import budget
from steps.monitoring.triggers.budget import HOUR_S, Spent, budget_holds, month_of, spent
from steps.monitoring.triggers.settings import BudgetSettings, LearningSteps
from steps.registry.audit import record
from tests.keys import TRUSTED
from tests.steps.registry.conftest import artifacts, tracker

__all__ = ["artifacts", "tracker"]
BUDGET = BudgetSettings(runs=4, gpu_hours=10)
KILLED_RUN = Path(__file__).resolve().parents[3] / "pipelines" / "killed_run.py"
"""A run that stays open in ZenML: its process is gone."""
TIMEOUT_S = 2 * HOUR_S
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def held(runs: int, gpu_hours: float, longest: float) -> dict[str, Hold]:
    """Each hold after so much was spent."""
    return {hold.name: hold for hold in budget_holds(Spent(runs, gpu_hours, longest), BUDGET)}


@pytest.mark.parametrize(("runs", "holds"), [(0, False), (3, False), (4, True), (5, True)])
def test_runs_are_held_once_they_are_used(runs: int, holds: bool) -> None:
    """The last of them may begin, and none after it; what is left is said."""
    hold = held(runs, 0, 0)["budget_runs"]
    assert (hold.holds, hold.value, hold.limit) == (holds, runs, 4)
    assert f"{runs} of 4 retrainings of this month are used" in hold.reason
    assert ("python run.py --train --source PATH" in hold.reason) == hold.holds
    assert ("--train" in hold.reason) is holds


@pytest.mark.parametrize(
    ("hours", "longest", "holds"),
    [(0, 0, False), (7, 3, False), (7.5, 3, True), (10, 0, False), (11, 0, True)],
)
def test_gpu_hours_are_held_where_one_more_may_go_past_them(
    hours: float, longest: float, holds: bool
) -> None:
    """One that takes as long as the longest one lately: a budget is not past before it is noticed."""
    hold = held(0, hours, longest)["budget_gpu_hours"]
    assert (hold.holds, hold.value) == (holds, hours)


def test_a_budget_of_nothing_holds_every_retraining() -> None:
    """Zero runs: no retraining without a person."""
    first, _ = budget_holds(Spent(0, 0, 0), BudgetSettings(runs=0))
    assert first.holds


def test_a_month_begins_at_its_first_moment_in_utc() -> None:
    """Whatever the machine's time zone."""
    late = datetime.fromisoformat("2026-03-01T00:30:00+02:00")
    assert month_of(late) == datetime(2026, 2, 1, tzinfo=UTC)


def test_each_learning_step_has_its_gpus_and_its_timeout() -> None:
    """What differs for a step counts, and for the rest what every step is given; null is no limit."""
    assert load_config(None, ()).running.learning == LearningSteps(
        gpus={"tune": 1, "train": 1}, timeouts_s={"tune": HOUR_S, "train": HOUR_S}
    )
    about = ("running.steps.train={gpus: 4, step_timeout_s: 7200}", "running.step.step_timeout_s=null")
    assert load_config(None, about).running.learning == LearningSteps(
        gpus={"tune": 1, "train": 4}, timeouts_s={"train": 7200}
    )


@pytest.fixture
def model(artifacts: Path, tracker: object) -> str:
    """A model that no other test has, in a store whose audit log is empty."""
    return f"model-{uuid4().hex[:8]}"


def used(model: str, now: datetime, but: UUID | None = None, **gpus: int) -> Spent:
    """What was spent by then, on steps with so many GPUs each."""
    learning = LearningSteps(gpus=gpus, timeouts_s=dict.fromkeys(gpus, TIMEOUT_S))
    return spent(model, learning=learning, trusted=TRUSTED, now=now, but=None if but is None else str(but))


def test_the_retrainings_of_the_month_are_counted_by_the_log(model: str) -> None:
    """Those that were decided on, of this model; one that was cut off and begun again once; then none."""
    now = datetime.now(UTC)
    decided = [(model, "yes", "1"), (model, "no", "1"), ("other", "yes", "1"), (model, "yes", "2")]
    for number, (name, retrain, after) in enumerate([*decided, (model, "yes", "2")]):
        subject = {"model": name, "retrain": retrain, "run": str(number)}
        subject |= {"data_version": "d1", "after": after}
        record("decide", subject, by="a pipeline", reason="11 pictures are new")
    assert used(model, now) == Spent(runs=2, gpu_hours=0.0, longest=0.0)
    assert used(model, month_of(now) + 32 * DAY).runs == 0


@pytest.mark.parametrize(
    ("hours", "about", "counted"),
    [
        ((0, 0.1, 3), ("d1", "1"), 1),  # killed, and begun again
        ((0, 23.99, 47.9), ("d1", "1"), 3),  # it crashes every night
        ((0, 1), ("d2", "1"), 2),
        ((0, 1), ("d1", "2"), 2),
    ],
)
def test_a_retraining_that_goes_on_counts_once(
    hours: tuple[float, ...], about: tuple[str, str], counted: int
) -> None:
    """By its data and the version before it; the next night, other data or another version is another one."""
    begun = datetime(2026, 3, 2, tzinfo=UTC)
    entries = [
        AuditEntry(
            number=1,
            act="decide",
            actor="anna",
            at=begun + number * HOUR,
            by="a pipeline",
            reason="",
            subject={"data_version": data, "after": after},
            previous=None,
        )
        for number, (data, after) in zip(hours, [("d1", "1"), *[about] * (len(hours) - 1)], strict=True)
    ]
    assert budget.retrainings(entries) == counted


@step(enable_cache=False)
def train(seconds: float) -> None:
    """Take so long the first time, and fail; the second attempt goes through at once."""
    from zenml import get_step_context

    if get_step_context().step_run.version == 1 and seconds:
        time.sleep(seconds)
        raise RuntimeError("the node went away")


@step(enable_cache=False)
def evaluate() -> None:
    """A step that is given no GPU."""


@pipeline(name=budget.PIPELINE)
def learning(seconds: float) -> None:
    """A retraining."""
    train(seconds)
    evaluate(after=["train"])


def learnt(model: str, seconds: float = 0.0) -> UUID:
    """The id of a run that retrained, the first attempt in vain where it takes any time."""
    retry = StepRetryConfig(max_retries=1) if seconds else None
    run = learning.with_options(tags=[f"model:{model}"], retry=retry)(seconds)
    assert run is not None
    return run.id


def test_hours_are_those_of_every_attempt_times_the_gpus(model: str) -> None:
    """One that was tried again took them, too; steps without a GPU, and the run that asks, do not count."""
    run, now = learnt(model, seconds=2.0), datetime.now(UTC)
    one = used(model, now, train=1).gpu_hours * HOUR_S
    assert one >= 2
    assert used(model, now, train=4).gpu_hours * HOUR_S == pytest.approx(4 * one)
    assert used(model, now, train=0, tune=1).gpu_hours == 0
    assert used(model, now, but=run, train=1).gpu_hours == 0
    assert used(f"{model}-other", now, train=1).gpu_hours == 0


def test_the_longest_is_remembered_past_the_month(model: str) -> None:
    """On the first day of a month one more may take as long as one of the month before; after 62 days not."""
    learnt(model)
    now = datetime.now(UTC)
    at_once = used(model, now, train=1)
    assert 0 < at_once.gpu_hours == at_once.longest
    next_month = month_of(month_of(now) + 32 * DAY) + HOUR
    assert used(model, next_month, train=1) == Spent(runs=0, gpu_hours=0.0, longest=at_once.longest)
    assert used(model, now + 63 * DAY, train=1).longest == 0


def test_a_killed_step_takes_its_timeout_at_most(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody may have closed it yet, or somebody did after days; until the timeout, what it took so far."""
    monkeypatch.setattr(budget, "PIPELINE", "killed")
    killed = subprocess.run(
        [sys.executable, str(KILLED_RUN), f"{model}-run", "0", f"model:{model}"], check=False, timeout=120
    )
    assert killed.returncode == -9
    run = Client().get_pipeline_run(f"{model}-run")
    begun = run.steps["stuck"].start_time
    assert begun is not None
    begun = begun.replace(tzinfo=UTC)
    assert used(model, begun + HOUR, stuck=1).longest == pytest.approx(1)
    assert used(model, begun + 10 * HOUR, stuck=3).longest == pytest.approx(6)
    closed = StepRunUpdate(status=ExecutionStatus.FAILED, end_time=(begun + 9 * HOUR).replace(tzinfo=None))
    Client().zen_store.update_run_step(run.steps["stuck"].id, closed)
    assert used(model, begun + 10 * HOUR, stuck=1).longest == pytest.approx(2)
