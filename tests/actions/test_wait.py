"""``--wait`` looks until a rollout has ended, shows what is observed, and leaves it as it is when ended."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from actions import wait
from actions.wait import is_rolling_out, looked_at_by, wait_for_end
from materializers.errors import ServiceUnreachable
from materializers.schedule import Schedule
from pipelines.results import PipelineResult


def result(status: str, *reasons: str, exit_code: int = 0) -> PipelineResult:
    """What a look came to."""
    release = {"environment": "production", "status": status, "version": 3, "mode": "canary", "share": 0.1}
    return PipelineResult(
        pipeline="deployment",
        run="deployment-1",
        status="completed" if not exit_code else "refused",
        reasons=reasons,
        release=release,
        exit_code=exit_code,
    )


def waited(*looks: Any, said: list[str] | None = None) -> tuple[PipelineResult, str]:
    """The last result of a wait over these looks, and what was shown."""
    shown, coming = io.StringIO(), iter(looks)

    def look() -> PipelineResult:
        found: Any = next(coming)
        if isinstance(found, BaseException):
            raise found
        looked: PipelineResult = found
        return looked

    ended = wait_for_end(
        look(),
        look,
        model="shop",
        seconds=0.01,
        say=(said if said is not None else []).append,
        console=Console(file=shown, width=200),
    )
    return ended, shown.getvalue()


def test_it_looks_until_the_rollout_has_ended() -> None:
    """What is observed is shown each time, and the last look is the result."""
    last = result("live")
    ended, shown = waited(result("rolling_out", "12 of 500"), result("rolling_out", "400 of 500"), last)
    assert ended is last
    assert "version 3, canary at 10%: 12 of 500" in shown
    assert shown.index("12 of 500") < shown.index("400 of 500")


def test_a_rollback_ends_it_with_its_exit_code() -> None:
    """As without waiting."""
    ended, _ = waited(result("rolling_out"), result("rolled_back", "it errs", exit_code=3))
    assert (ended.exit_code, ended.reasons) == (3, ("it errs",))


def test_what_ended_at_once_is_not_waited_for() -> None:
    """Nothing is looked at again, and nothing shown."""
    assert waited(result("live")) == (result("live"), "")
    assert not is_rolling_out(PipelineResult(pipeline="deployment", run=None, status="skipped"))


def test_a_look_that_fails_ends_the_waiting_alone() -> None:
    """The fault is told as any; the rollout goes on."""
    with pytest.raises(ServiceUnreachable):
        waited(result("rolling_out"), ServiceUnreachable("The registry does not answer"))


def test_whoever_ends_it_hears_what_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The candidate serves on, with what looks at it and the command that ends it."""
    monkeypatch.setattr(wait, "looked_at_by", lambda model, environment: "the schedule looks at it")
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        waited(result("rolling_out"), KeyboardInterrupt(), said=said)
    assert said == [
        "Version 3 goes on rolling out in production: the schedule looks at it. End it: python run.py "
        "--rollback --environment production"
    ]


class Book:
    """A scheduler's book that a process holds, or none does."""

    def __init__(self, process: int | None) -> None:
        self.process = process

    def holder(self) -> int | None:
        """The process."""
        return self.process


class Keeper:
    """An orchestrator whose schedules somebody fires, or nobody."""

    def __init__(self, process: int | None) -> None:
        self.process = process

    def book(self) -> Book:
        """Of the scheduler."""
        return Book(self.process)


@pytest.mark.parametrize(
    ("there", "paused", "process", "said"),
    [
        (True, False, 17, "the schedule observe-production-shop looks at it"),
        (True, False, None, "No scheduler runs, so nothing is fired: python run.py --scheduler; by hand: "),
        (True, True, 17, "is paused: python run.py --pause observe-production-shop"),
        (False, False, 17, "no schedule looks at it; by hand: python run.py --observe --environment prod"),
    ],
)
def test_what_looks_at_a_rollout_is_told_or_that_nothing_does(
    monkeypatch: pytest.MonkeyPatch, there: bool, paused: bool, process: int | None, said: str
) -> None:
    """With the command that does."""
    schedule = Schedule(
        name="observe-production-shop", pipeline="deployment", cron="* * * * *", paused=paused
    )
    monkeypatch.setattr(wait, "find_look", lambda model, environment: schedule if there else None)
    monkeypatch.setattr(wait, "find_orchestrator", lambda: Keeper(process))
    assert said in looked_at_by("shop", "production")


def test_a_schedule_that_cannot_be_read_is_no_reason_to_be_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault, and the command that looks by hand."""

    def unreachable(model: str, environment: str) -> None:
        raise ServiceUnreachable("Kubeflow does not answer")

    monkeypatch.setattr(wait, "find_orchestrator", lambda: Keeper(17))
    monkeypatch.setattr(wait, "find_look", unreachable)
    said = looked_at_by("shop", "production")
    assert "Kubeflow does not answer" in said
    assert "--observe --environment production" in said
