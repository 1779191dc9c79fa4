"""A month's retrainings are counted, and one more has to fit into the budget."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from materializers.trigger_decision import Hold
from steps.monitoring.triggers.budget import Spent, budget_holds, month_of
from steps.monitoring.triggers.settings import BudgetSettings

BUDGET = BudgetSettings(runs=4, gpu_hours=10)


def held(runs: int, gpu_hours: float, longest: float) -> dict[str, Hold]:
    """Each hold after so much was spent."""
    return {hold.name: hold for hold in budget_holds(Spent(runs, gpu_hours, longest), BUDGET)}


@pytest.mark.parametrize(("runs", "holds"), [(0, False), (3, False), (4, True), (5, True)])
def test_runs_are_held_once_they_are_used(runs: int, holds: bool) -> None:
    """The last of them may begin, and none after it; what is left is said."""
    hold = held(runs, 0, 0)["budget_runs"]
    assert (hold.holds, hold.value, hold.limit) == (holds, runs, 4)
    assert f"{runs} of 4 retrainings of this month are used" in hold.reason
    assert ("--train" in hold.reason) is holds


@pytest.mark.parametrize(
    ("hours", "longest", "holds"),
    [(0, 0, False), (7, 3, False), (7.5, 3, True), (10, 0, False), (11, 0, True)],
)
def test_gpu_hours_are_held_where_one_more_may_go_past_them(
    hours: float, longest: float, holds: bool
) -> None:
    """One that takes as long as the longest one of the month: a budget is not past before it is noticed."""
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
