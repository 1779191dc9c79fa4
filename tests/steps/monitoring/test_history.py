"""An alarm is confirmed by the one before it, on a window that does not overlap."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from materializers.drift_report import DriftOutcome, DriftReport
from steps.monitoring.history import confirmed, declined, drifted, dropped
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
