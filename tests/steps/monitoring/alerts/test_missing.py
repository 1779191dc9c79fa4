"""Runs and deliveries that did not happen within 1.5 times their period are told, and that they came."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from zenml import pipeline, step
from zenml.client import Client

from materializers.schedule import SCHEDULE_KEY, Planned, Schedule, ScheduledCommand
from stacks.local_orchestrator.schedule_file import ScheduleFile
from steps.monitoring.alerts import missing
from steps.monitoring.alerts.alert import open_alerts
from steps.monitoring.alerts.missing import (
    is_of,
    look_for_missing_delivery,
    look_for_missing_runs,
    missing_since,
)
from steps.orchestrator import find_orchestrator
from tests.stacks.apprise_alerter.webhook import Webhook, stack_with_alerter, webhook_server
from tests.stacks.local_orchestrator.stack import make_stack

if TYPE_CHECKING:
    from steps.orchestrator import ScheduleBook

MONDAY = datetime(2026, 6, 1, 2, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def schedule(cron: str, since: datetime | None = MONDAY, **about: object) -> Schedule:
    """A schedule that was made on a Monday at two o'clock."""
    known = {"name": "tidying-shop", "pipeline": "tidying", "cron": cron, "since": since, **about}
    return Schedule.model_validate(known)


@pytest.mark.parametrize(
    ("cron", "last_after", "missed_after"),
    [
        ("0 2 * * *", 0 * DAY, 1.5 * DAY),
        ("0 2 * * *", 3 * DAY + 5 * MINUTE, 4.5 * DAY),
        ("0 2 * * 1", 7 * DAY, 17.5 * DAY),
        ("0 */6 * * *", 9 * HOUR, 13 * HOUR),  # the fire at 12, 10 hours after two o'clock
        ("*/5 * * * *", 2 * MINUTE, HOUR + 5 * MINUTE),  # never sooner than an hour after a fire
        ("0 2 * * mon-fri", 4 * DAY + MINUTE, 8.5 * DAY),  # on Friday; the period over the weekend is 3 days
        ("0 0 29 2 *", 0 * DAY, None),
    ],
)
def test_a_run_is_missing_half_a_period_after_its_fire(
    cron: str, last_after: timedelta, missed_after: timedelta | None
) -> None:
    """Not a minute sooner: 1.5 periods after the fire before it."""
    last_run = MONDAY + last_after
    if missed_after is None:
        assert missing_since(schedule(cron), last_run, now=MONDAY + 300 * DAY) is None
        return
    assert missing_since(schedule(cron), last_run, now=MONDAY + missed_after) is None
    fire = missing_since(schedule(cron), last_run, now=MONDAY + missed_after + MINUTE)
    assert fire is not None
    assert last_run < fire < MONDAY + missed_after


def test_a_schedule_that_never_ran_counts_from_when_it_was_made() -> None:
    """One of which nobody knows that, from its first run; one that is paused misses nothing."""
    late = MONDAY + 5 * DAY
    assert missing_since(schedule("0 2 * * *"), None, now=late) == MONDAY + DAY
    assert missing_since(schedule("0 2 * * *", since=None), None, now=late) is None
    assert missing_since(schedule("0 2 * * *", paused=True), MONDAY, now=late) is None


def test_a_schedule_that_was_changed_counts_from_then() -> None:
    """What it did not do while it was paused is missed by nobody."""
    changed = schedule("0 2 * * *", since=MONDAY + 30 * DAY)
    assert missing_since(changed, MONDAY, now=MONDAY + 31 * DAY) is None


def test_a_schedule_is_that_of_the_model_in_its_name() -> None:
    """One whose model's name only ends like it is another's."""
    found = [
        is_of(schedule("0 2 * * *", name=name), "shop")
        for name in ("tidying-shop", "observe-production-shop", "tidying-my-shop", "training-shop", "shop")
    ]
    assert found == [True, True, False, False, False]


@step(enable_cache=False)
def nothing() -> None:
    """Do nothing."""


@pipeline
def tidying() -> None:
    """One step that does nothing."""
    nothing()


@pytest.fixture
def model() -> str:
    """A model that no other test has."""
    return f"model-{uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def orchestrator(zenml_client: Client, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of one that keeps schedules."""
    name = f"missing-{uuid4().hex[:8]}"
    make_stack(zenml_client, name, tmp_path_factory.mktemp("rows"))
    return name


@pytest.fixture
def hook(zenml_client: Client, orchestrator: str) -> Iterator[Webhook]:
    """A webhook that the active stack's alerter posts to."""
    with webhook_server() as server, stack_with_alerter(zenml_client, server.url, orchestrator=orchestrator):
        yield server


def book() -> ScheduleFile:
    """The schedules of the active stack."""
    active = find_orchestrator()
    found: ScheduleBook | None = None if active is None else active.book()
    assert isinstance(found, ScheduleFile)
    return found


def put(model: str, now: datetime, **about: object) -> str:
    """Schedule the tidying of a model every two hours since a day ago; its name."""
    name = f"tidying-{model}"
    row = {
        **{"name": name, "pipeline": "tidying", "cron": "0 */2 * * *", "command": ("--train",)},
        **{"stack": "local", "directory": str(Path.cwd()), "since": now - DAY, **about},
    }
    book().put(ScheduledCommand.model_validate(row))
    return name


def test_a_missing_run_is_told_once_and_that_it_came(hook: Webhook, model: str) -> None:
    """By whoever looks, however often; the run of another model, or of another pipeline, is not it."""
    now = datetime.now(UTC)
    name = put(model, now)
    tidying.with_options(tags=["model:another"])()
    for minutes in range(3):
        assert look_for_missing_runs(model, now=now + minutes * MINUTE) == [name]
    assert look_for_missing_runs("another", now=now) == []
    (message,) = hook.messages
    head, reason, mend = message.splitlines()
    assert head == f"run_missing (warning): {model}, schedule {name}"
    assert reason.startswith("Pipeline tidying was to run on 20")
    assert reason.endswith("UTC (0 */2 * * *) and did not; it never ran.")
    assert mend.endswith(f"python run.py --set product.model={model} --schedules")
    tidying.with_options(tags=[f"model:{model}"])()
    assert look_for_missing_runs(model, now=now + 4 * MINUTE) == []
    assert look_for_missing_runs(model, now=now + 5 * MINUTE) == []
    (_, over) = hook.messages
    assert over.startswith(f"run_missing is over: {model}, schedule {name}\n")
    book().remove(name)


def test_a_fire_that_makes_no_run_is_a_look(hook: Webhook, model: str) -> None:
    """As of a check where nothing is live yet: the scheduler fired it, and it ended before a run began."""
    now = datetime.now(UTC)
    name = put(model, now, last_fire=now - MINUTE)
    assert look_for_missing_runs(model, now=now) == []
    assert hook.messages == []
    assert look_for_missing_runs(model, now=now + 6 * HOUR) == [name]  # fired no more
    assert "it ran, or was fired, last on " in hook.messages[0]
    book().remove(name)


@pytest.mark.usefixtures("hook")
@pytest.mark.parametrize("known_by", ["the scheduler", "the run"])
def test_two_schedules_of_a_pipeline_do_not_stand_in_for_each_other(model: str, known_by: str) -> None:
    """The one that did not fire is missing, whatever the other one or a person started."""
    now = datetime.now(UTC)
    planned, fires = Planned(model=model, content=""), now - MINUTE
    often, seldom = f"often-{model}", f"seldom-{model}"
    extra = {SCHEDULE_KEY: often} if known_by == "the run" else None
    last_fire = fires if known_by == "the scheduler" else None
    put(model, now, name=seldom, planned=planned)
    tidying.with_options(tags=[f"model:{model}"], extra=extra)()
    assert look_for_missing_runs(model, now=now) == []  # there is one
    put(model, now, name=often, planned=planned, last_fire=last_fire)
    assert look_for_missing_runs(model, now=now) == [seldom]
    for name in (often, seldom):
        book().remove(name)


@pytest.mark.parametrize("act", ["pause", "remove"])
def test_nobody_misses_the_runs_of_a_schedule_that_is_paused_or_gone(
    hook: Webhook, model: str, act: str
) -> None:
    """Whoever does that knows; the alert is over."""
    now = datetime.now(UTC)
    name = put(model, now)
    look_for_missing_runs(model, now=now)
    getattr(book(), act)(name)
    assert look_for_missing_runs(model, now=now) == []
    assert len(hook.messages) == 2
    assert open_alerts(model).open == ()
    if act == "pause":
        book().remove(name)


@pytest.mark.usefixtures("own_stack")
def test_a_stack_that_keeps_no_schedules_misses_none(model: str) -> None:
    """Nothing is asked of it."""
    assert look_for_missing_runs(model, now=MONDAY) == []


@pytest.mark.parametrize(("hours", "late"), [(35, False), (36, False), (37, True)])
def test_a_delivery_is_missing_after_one_and_a_half_intervals(
    hook: Webhook, model: str, monkeypatch: pytest.MonkeyPatch, hours: float, late: bool
) -> None:
    """Counted from the last that brought anything new, although no run looked since."""
    monkeypatch.setattr(missing, "last_version", lambda name: "v" if name == model else None)
    monkeypatch.setattr(missing, "first_stored_at", lambda version: MONDAY)
    now = MONDAY + hours * HOUR
    assert look_for_missing_delivery(model, "shop-photographs", hours=24, now=now) is late
    assert look_for_missing_delivery(model, "shop-photographs", hours=None, now=now) is False
    assert look_for_missing_delivery(f"{model}-2", "shop-photographs", hours=24, now=now) is False
    if late:
        assert hook.messages[0].splitlines()[:1] == [
            f"delivery_missing (warning): {model}, deliveries of shop-photographs"
        ]
        assert "2026-06-01 02:00 UTC; one is expected every 24 hours." in hook.messages[0]
        assert hook.messages[1].startswith("delivery_missing is over")  # none is expected any more


def test_a_delivery_that_came_ends_it(hook: Webhook, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks next says so; between one interval and one and a half, what is open stays."""
    last = [MONDAY]
    monkeypatch.setattr(missing, "last_version", lambda name: "v")
    monkeypatch.setattr(missing, "first_stored_at", lambda version: last[0])
    assert look_for_missing_delivery(model, "shop", hours=24, now=MONDAY + 40 * HOUR)
    last[0] = MONDAY + 40 * HOUR
    assert not look_for_missing_delivery(model, "shop", hours=24, now=MONDAY + 70 * HOUR)
    assert len(hook.messages) == 1
    assert not look_for_missing_delivery(model, "shop", hours=24, now=MONDAY + 41 * HOUR)
    assert hook.messages[1].startswith("delivery_missing is over")
