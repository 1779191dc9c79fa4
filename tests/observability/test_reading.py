"""What the exporter tells of schedules and of what monitoring said, as the active stack has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import pytest
from zenml import pipeline, step

from materializers.drift_report import DriftReport
from materializers.release import Environment
from materializers.schedule import Planned, Schedule, ScheduledCommand
from observability.reading import REPORTS_OF, Families, MonitoringReports, between_fires, read_schedules
from stacks.local_orchestrator.schedule_file import ScheduleFile
from steps.monitoring.history import LOOKED_THROUGH
from steps.run_tags import environment_tag, model_tag
from tests.materializers.examples import drift_report
from tests.stacks.local_orchestrator.stack import make_stack

if TYPE_CHECKING:
    from zenml.client import Client

MADE = datetime(2026, 6, 1, 2, tzinfo=UTC)  # a Monday
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def figures(families: Families, name: str) -> dict[tuple[str, ...], float]:
    """The values of one metric by those of its labels."""
    (family,) = (each for each in families if each.name == f"shutterline_{name}")
    return {tuple(sample.labels.values()): sample.value for sample in family.samples}


@pytest.fixture
def book(zenml_client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScheduleFile:
    """The schedules of the active stack: none yet."""
    stack = make_stack(zenml_client, f"read-{uuid4().hex[:8]}", tmp_path)
    monkeypatch.setenv("ZENML_ACTIVE_STACK_ID", str(stack))
    return ScheduleFile(tmp_path)


@pytest.fixture
def put(book: ScheduleFile) -> Callable[..., None]:
    """Schedules a pipeline of the model ``shop``."""

    def add(name: str, cron: str, environment: Environment | None, **about: object) -> None:
        row = {
            **{"name": name, "pipeline": "monitoring", "cron": cron, "environment": environment},
            **{"command": (), "stack": "local", "directory": str(Path.cwd()), "since": MADE},
            **{"planned": Planned(model="shop", content=""), **about},
        }
        book.put(ScheduledCommand.model_validate(row))

    return add


def test_an_environment_that_a_schedule_looks_at_has_its_period(put: Callable[..., None]) -> None:
    """The shortest of several; not of another model's, one that is paused, or one that looks at nothing."""
    put("weekly", "0 2 * * 1", "production", since=MADE - DAY)
    put("daily", "0 2 * * *", "production")
    put("paused", "0 * * * *", "staging", paused=True)
    put("another", "0 * * * *", "staging", planned=Planned(model="shop-2", content=""))
    put("training", "0 * * * *", None, pipeline="training")
    put("deploying", "0 * * * *", "staging", pipeline="deployment")
    found = read_schedules("shop")
    where = ("production", "shop")
    assert figures(found, "monitoring_period_seconds") == {where: DAY.total_seconds()}
    assert figures(found, "monitoring_scheduled_timestamp_seconds") == {where: MADE.timestamp()}
    assert figures(found, "schedules_active") == {(): 5}


@pytest.mark.usefixtures("book")
def test_without_a_schedule_no_environment_has_a_period() -> None:
    """However often a person looks."""
    assert figures(read_schedules("shop"), "monitoring_period_seconds") == {}


@pytest.mark.parametrize(
    ("cron", "after", "hours"),
    [
        ("0 2 * * *", 5 * HOUR, 24),
        ("0 2 * * mon-fri", 5 * DAY, 72),  # Saturday
        ("0 2 * * mon-fri", 7 * DAY + HOUR, 72),  # on Monday the look of Friday is not late yet
        ("0 2 * * mon-fri", 8 * DAY + HOUR, 24),
        ("0 */6 * * *", HOUR, 6),
    ],
)
def test_the_period_is_the_longer_one_around_now(cron: str, after: timedelta, hours: float) -> None:
    """Working days alone are no reason to be late after a weekend."""
    from materializers.schedule import next_fire

    now = MADE + after
    schedule = Schedule(name="look", pipeline="monitoring", cron=cron, next_fire=next_fire(cron, now))
    assert between_fires(schedule, now) == hours * 3600


@step(enable_cache=False)
def assess(
    environment: Environment, until: str, share: float, drift: str, drop: str
) -> Annotated[DriftReport, "drift_report"]:
    """A report on a window that ended then, of whose pictures so many have a label."""
    example, ended = drift_report(), datetime.fromisoformat(until)
    about = {"environment": environment, "model_name": "shop", "until": ended, "since": ended - DAY}
    performance = example.performance.model_copy(update={"coverage": share, "outcome": drop})
    captured = example.captured.model_copy(update=about)
    said = {"captured": captured, "performance": performance, "outcome": drift}
    return example.model_copy(update=said)


@pipeline(name="monitoring")
def monitoring(environment: Environment, until: str, share: float, drift: str, drop: str) -> None:
    """One look."""
    assess(environment, until, share, drift, drop)


@pytest.fixture
def look(zenml_client: Client, own_stack: str) -> Iterator[Callable[..., str]]:
    """Looks at an environment of a model of this test's own, whose name it gives."""
    model, runs = f"model-{uuid4().hex[:8]}", []

    def once(
        environment: Environment,
        until: datetime,
        share: float = 0.5,
        *,
        drift: str = "no drift",
        drop: str = "no drop",
    ) -> str:
        tags = [model_tag(model), environment_tag(environment)]
        run = monitoring.with_options(tags=tags)(environment, until.isoformat(), share, drift, drop)
        assert run is not None
        runs.append(run)
        return model

    yield once
    for run in runs:
        zenml_client.delete_pipeline_run(run.id)


def test_the_last_report_of_each_environment_counts(look: Callable[..., str]) -> None:
    """However often the other one is looked at since; one of long ago says nothing of today."""
    now, reports = datetime.now(UTC), MonitoringReports()
    look("production", now - 2 * HOUR)
    model = look("production", now - HOUR, 0.75)
    look("staging", now - REPORTS_OF - HOUR)
    for _ in range(LOOKED_THROUGH):
        look("staging", now - REPORTS_OF - HOUR)
    found = figures(reports.read(model), "monitoring_label_coverage")
    assert {where[0]: value for where, value in found.items()} == {"production": 0.75}
    look("staging", now, 0.25)
    found = figures(reports.read(model), "monitoring_label_coverage")
    assert {where[0]: value for where, value in found.items()} == {"production": 0.75, "staging": 0.25}


def outcomes(families: Families, name: str) -> dict[str, str]:
    """What is said of each environment."""
    return {labels[0]: labels[-1] for labels in figures(families, f"monitoring_{name}")}


def test_a_window_of_which_nothing_can_be_said_ends_no_alarm(look: Callable[..., str]) -> None:
    """Its own figures are told; drift and drop stay, each until a window says otherwise, or for 35 days."""
    now, reports, nothing = datetime.now(UTC), MonitoringReports(), "insufficient data"
    look("staging", now - REPORTS_OF - HOUR, drift="drift", drop="drop")
    look("staging", now - 4 * HOUR, drift=nothing, drop=nothing)
    model = look("production", now - 3 * HOUR, drift="drift", drop="drop")
    reports.read(model)
    look("production", now - 2 * HOUR, 0.25, drift=nothing, drop=nothing)
    for reading in (reports, MonitoringReports()):  # one that goes on, and one that was started anew
        found = reading.read(model)
        assert outcomes(found, "outcome") == {"production": "drift", "staging": nothing}
        assert outcomes(found, "performance") == {"production": "drop", "staging": nothing}
        assert 0.25 in figures(found, "monitoring_label_coverage").values()
    look("production", now - HOUR, drift="no drift", drop=nothing)
    found = reports.read(model)
    assert (outcomes(found, "outcome")["production"], outcomes(found, "performance")["production"]) == (
        "no drift",
        "drop",
    )
