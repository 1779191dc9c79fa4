"""An alarm is confirmed by the one before it, on a window that does not overlap."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import pytest
from zenml import pipeline, step

from materializers.drift_report import DriftOutcome, DriftReport
from materializers.errors import ServiceUnreachable
from steps.monitoring.history import confirmed, declined, drifted, dropped, last_reports, past_reports
from steps.run_tags import environment_tag, model_tag
from tests.materializers.examples import drift_report

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def report(
    outcome: DriftOutcome, *, days_ago: float, hours: float = 24, digest: str = "a" * 64
) -> DriftReport:
    """What a window of so many hours that ended so long ago came to."""
    example, until = drift_report(), NOON - timedelta(days=days_ago)
    captured = example.captured.model_copy(
        update={"since": until - timedelta(hours=hours), "until": until, "model_digest": digest}
    )
    return example.model_copy(update={"captured": captured, "outcome": outcome})


def test_two_alarms_in_a_row_confirm_each_other() -> None:
    """They are named: the newer, and the one that it confirms."""
    newer, older = report("drift", days_ago=0), report("drift", days_ago=1)
    assert confirmed([newer, older], drifted) == (newer, older)


@pytest.mark.parametrize(
    "reports",
    [
        [],
        [report("drift", days_ago=0)],
        [report("no drift", days_ago=0), report("drift", days_ago=1), report("drift", days_ago=2)],
        [report("drift", days_ago=0), report("no drift", days_ago=1), report("drift", days_ago=2)],
        [report("drift", days_ago=0), report("drift", days_ago=0.5)],
        [report("drift", days_ago=0), report("no drift", days_ago=0.5), report("drift", days_ago=1)],
        [report("drift", days_ago=0), report("drift", days_ago=1, digest="b" * 64)],
    ],
    ids=["none", "one", "over by now", "none between", "overlapping", "overlapping none", "another model"],
)
def test_anything_less_confirms_nothing(reports: list[DriftReport]) -> None:
    """One alarm, an old row, a row that was broken, windows that share traffic, answers of another model."""
    assert confirmed(reports, drifted) is None


def test_a_window_of_which_nothing_can_be_said_neither_confirms_nor_ends_a_row() -> None:
    """A day with few pictures says nothing of the days around it."""
    newer, older = report("drift", days_ago=0), report("drift", days_ago=2)
    assert confirmed([newer, report("insufficient data", days_ago=1), older], drifted) == (newer, older)
    assert confirmed([newer, report("insufficient data", days_ago=1)], drifted) is None


def test_each_kind_of_alarm_has_a_row_of_its_own() -> None:
    """Drift is confirmed by drift, a drop by a drop: the examples' accuracy and worth dropped throughout."""
    newer, older = report("no drift", days_ago=0), report("drift", days_ago=1)
    assert confirmed([newer, older], drifted) is None
    assert confirmed([newer, older], dropped) == (newer, older)
    assert confirmed([newer, older], declined) == (newer, older)
    assert newer.business is not None
    for business in (None, newer.business.model_copy(update={"outcome": "insufficient data"})):
        assert declined(newer.model_copy(update={"business": business})) is None


def test_windows_of_labels_that_overlap_confirm_no_drop() -> None:
    """Accuracy is that of the answers of a week: two days in a row are mostly the same answers."""
    newer, older = (
        each.model_copy(
            update={
                "performance": each.performance.model_copy(
                    update={"since": each.captured.until - timedelta(days=7)}
                )
            }
        )
        for each in (report("drift", days_ago=0), report("drift", days_ago=1))
    )
    assert confirmed([newer, older], drifted) == (newer, older)
    assert confirmed([newer, older], dropped) is None
    before = report("drift", days_ago=7)
    assert confirmed([newer, older, before], dropped) == (newer, before)


@step(enable_cache=False)
def assess(days_ago: float) -> Annotated[DriftReport, "drift_report"]:
    """What a window came to that ended so long ago."""
    return report("drift", days_ago=days_ago)


@pipeline(name="monitoring")
def monitoring(days_ago: float) -> None:
    """One step."""
    assess(days_ago)


@pytest.mark.usefixtures("own_stack")
def test_a_report_that_is_gone_is_left_out_and_a_store_that_refuses_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What is not read because a store fails is not taken for never having been said."""
    model = f"reports-{uuid4().hex[:8]}"
    files = []
    for days_ago in (3, 2, 1):
        run = monitoring.with_options(tags=[f"model:{model}"])(days_ago)
        assert run is not None
        files.append(Path(run.steps["assess"].outputs["drift_report"][0].uri) / "report.json")
    since, environment = NOON - timedelta(days=30), report("drift", days_ago=0).captured.environment
    ends = [each.captured.until for each in past_reports(model, environment, since=since)]
    assert ends == [NOON - timedelta(days=days) for days in (1, 2, 3)]
    until = NOON - timedelta(days=2)
    assert [each.captured.until for each in past_reports(model, environment, since=until)] == ends[:2]
    kept = files[0].read_bytes()
    files[0].unlink()
    with caplog.at_level(logging.WARNING, logger="shutterline"):
        assert [each.captured.until for each in past_reports(model, environment, since=since)] == ends[:2]
    assert "is left out" in caplog.text
    files[0].mkdir()  # reading it fails, as a store does that gives nothing for want of a key
    with pytest.raises(ServiceUnreachable, match=r"What monitoring said in run .* is not known"):
        past_reports(model, environment, since=since)
    files[0].rmdir()
    files[0].write_bytes(kept)


@pytest.mark.usefixtures("own_stack")
def test_reports_on_windows_that_ended_later_are_left_out() -> None:
    """By the end of the window, not by when the run was."""
    model, now = f"before-{uuid4().hex[:8]}", datetime.now(UTC)
    days = (now - NOON) / timedelta(days=1)
    for hours_ago in (30, 3, 1):
        monitoring.with_options(tags=[f"model:{model}"])(hours_ago / 24 - days)
    environment, since = report("drift", days_ago=0).captured.environment, now - timedelta(days=2)
    found = past_reports(model, environment, since=since, before=now - timedelta(hours=2))
    assert [round((now - each.captured.until) / timedelta(hours=1)) for each in found] == [3, 30]


@pytest.mark.usefixtures("own_stack")
def test_a_report_of_a_clock_that_was_ahead_hides_no_later_one(caplog: pytest.LogCaptureFixture) -> None:
    """It would be the newest for as long as the clock was ahead; it is named instead."""
    model, now = f"ahead-{uuid4().hex[:8]}", datetime.now(UTC)
    days = (now - NOON) / timedelta(days=1)
    environment = report("drift", days_ago=0).captured.environment
    for days_ago in (-40, 1):
        tags = [model_tag(model), environment_tag(environment)]
        monitoring.with_options(tags=tags)(days_ago - days)
    with caplog.at_level(logging.WARNING, logger="shutterline"):
        (found,) = past_reports(model, environment, since=now - timedelta(days=2))
        assert last_reports(model) == {environment: found}
    assert found.captured.until < now
    assert "a clock was ahead" in caplog.text
