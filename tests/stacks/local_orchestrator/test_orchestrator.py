"""Schedules are kept, not run; ZenML's list agrees with the rows; a row repeats the command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from zenml.config.schedule import Schedule

from materializers.errors import UsageError
from materializers.schedule import COMMAND_KEY, SCHEDULE_KEY
from pipelines.scheduling import Repetition, keep_schedule
from steps.orchestrator import active_orchestrator
from tests.stacks.local_orchestrator.stack import make_stack

if TYPE_CHECKING:
    from zenml.client import Client

STACK = "scheduling"
COMMAND = ("--train", "--source", "delivery.zip")
NAME = "faltering-shop"


@pytest.fixture(scope="module")
def stack_id(zenml_client: Client, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A stack with the local orchestrator."""
    return str(make_stack(zenml_client, STACK, tmp_path_factory.mktemp("schedules") / "rows"))


@pytest.fixture
def client(zenml_client: Client, stack_id: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """With that stack active, and nothing scheduled before and after."""
    monkeypatch.setenv("ZENML_ACTIVE_STACK_ID", stack_id)
    yield zenml_client
    for schedule in active_orchestrator().schedules():
        active_orchestrator().remove(schedule.name)
    assert listed(zenml_client) == []


def keep(cron: str = "0 2 * * 1", command: tuple[str, ...] = COMMAND) -> Any:
    """Schedule the faltering pipeline."""
    from tests.stacks.retried_pipeline import faltering

    repetition = Repetition(cron=cron, command=command)
    return keep_schedule(faltering, {"faults": ["refused"]}, model="shop", repetition=repetition)


def listed(client: Client) -> list[tuple[str | None, bool]]:
    """What ``zenml pipeline schedule list`` shows of ours: cron expression and whether it is active."""
    return [(found.cron_expression, found.active) for found in client.list_schedules(size=100)]


def rows() -> Any:
    """The rows, as the scheduler gets them."""
    book = active_orchestrator().book()
    assert book is not None
    return book.rows()


def test_a_schedule_is_kept_and_nothing_runs(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its row repeats the command, on the stack and in the folder in which it was scheduled."""
    from tests.stacks import retried_pipeline

    monkeypatch.chdir("/")
    retried_pipeline.attempts.clear()
    before = client.list_pipeline_runs().total
    result = keep()
    assert result.exit_code == 0
    (row,) = rows()
    assert (row.name, row.pipeline, row.cron) == (NAME, "faltering", "0 2 * * 1")
    assert (row.command, row.stack, row.directory) == (COMMAND, STACK, "/")
    assert row.last_fire is row.begun is None
    (schedule,) = active_orchestrator().schedules()
    assert schedule.next_fire == row.due()
    assert listed(client) == [("0 2 * * 1", True)]
    assert client.list_pipeline_runs().total == before
    assert retried_pipeline.attempts == []


def test_scheduling_again_replaces(client: Client) -> None:
    """The same pipeline of the same model has one schedule, here and in ZenML's list."""
    keep()
    keep("30 4 * * *", ("--train", "--data", "v2"))
    (row,) = rows()
    assert (row.cron, row.command) == ("30 4 * * *", ("--train", "--data", "v2"))
    assert listed(client) == [("30 4 * * *", True)]


def test_pausing_and_removing_change_both_lists(client: Client) -> None:
    """ZenML's list and the rows agree at every moment."""
    keep()
    active_orchestrator().pause(NAME)
    assert rows()[0].paused
    assert listed(client) == [("0 2 * * 1", False)]
    active_orchestrator().pause(NAME, paused=False)
    assert not rows()[0].paused
    assert listed(client) == [("0 2 * * 1", True)]
    active_orchestrator().remove(NAME)
    assert rows() == ()
    assert listed(client) == []


def test_what_is_changed_through_zenml_is_changed_here(client: Client) -> None:
    """``zenml pipeline schedule deactivate``, ``update`` and ``delete`` reach the rows."""
    keep()
    zenml_id = rows()[0].zenml
    client.update_schedule(zenml_id, active=False)
    assert rows()[0].paused
    client.update_schedule(zenml_id, cron_expression="5 5 * * *")
    assert rows()[0].cron == "5 5 * * *"
    client.delete_schedule(str(zenml_id))
    assert rows() == ()


def test_a_schedule_that_zenml_forgot_can_still_be_changed(client: Client) -> None:
    """The rows count; what is gone from ZenML's list stands in nobody's way."""
    keep()
    client.zen_store.delete_schedule(rows()[0].zenml, soft=False)
    active_orchestrator().pause(NAME)
    assert rows()[0].paused
    active_orchestrator().remove(NAME)
    assert rows() == ()


def test_a_refused_schedule_changes_nothing(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the rows nor ZenML's list: the one before it is still in its place."""
    from stacks.local_orchestrator.schedule_file import ScheduleFile

    keep()
    before = rows()

    def full(file: ScheduleFile, row: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(ScheduleFile, "put", full)
    result = keep("30 4 * * *")
    assert result.exit_code == 1
    assert "No space left" in result.reasons[0]
    assert rows() == before
    assert listed(client) == [("0 2 * * 1", True)]


def test_a_schedule_without_a_command_is_refused(client: Client) -> None:
    """One that somebody made past run.py could not be repeated."""
    from tests.stacks.retried_pipeline import faltering

    timed = Schedule(name="by-hand", cron_expression="0 2 * * 1")
    for extra in ({}, {COMMAND_KEY: ["--train"]}, {SCHEDULE_KEY: "by-hand"}):
        with pytest.raises(UsageError, match="schedule it with"):
            faltering.with_options(schedule=timed, extra=extra)([])
        assert rows() == ()
        assert listed(client) == []


def test_an_unknown_name_is_refused(client: Client) -> None:
    """With those that there are."""
    keep()
    for act in (active_orchestrator().pause, active_orchestrator().remove):
        with pytest.raises(UsageError, match=f"'none-such'.*there is: {NAME}"):
            act("none-such")


def test_a_delivery_is_read_where_it_is(client: Client) -> None:
    """Steps run in this process: nothing is to be brought anywhere."""
    assert active_orchestrator().bring("data/first-delivery.zip") == "data/first-delivery.zip"


def test_the_rows_are_below_zenmls_configuration_by_default(tmp_path: Path) -> None:
    """Where the stack's file says nothing."""
    from zenml.config.global_config import GlobalConfiguration

    from stacks.local_orchestrator.flavor import ShutterlineLocalOrchestratorConfig

    default = ShutterlineLocalOrchestratorConfig().schedule_folder
    assert default.is_relative_to(Path(GlobalConfiguration().config_directory).resolve())
    given = ShutterlineLocalOrchestratorConfig(schedules=str(tmp_path / "rows")).schedule_folder
    assert given == (tmp_path / "rows").resolve()
