"""What a window comes to: drift, none, or that nothing can be said."""

from __future__ import annotations

import pytest

from steps.monitoring.assess import assess_window
from steps.monitoring.drift.settings import DriftSettings
from steps.monitoring.history import confirmed, drifted
from steps.monitoring.tell import window_alerts
from tests.steps.monitoring.drift.test_drift_signals import REFERENCE, answers
from tests.steps.monitoring.looked_at import beside


@pytest.mark.parametrize("n", [0, 1, 99])
def test_of_too_few_rows_neither_drift_nor_all_well_is_said(n: int) -> None:
    """However much they differ: no alarm, no message, nothing that confirms one, and no share of signals."""
    report = assess_window(beside(REFERENCE, answers(n, seed=1, brighter=90, moved=9)), DriftSettings())
    assert (report.outcome, report.alarm, report.drift_share) == ("insufficient data", False, None)
    assert {signal.outcome for signal in report.signals} == {"insufficient data"}
    assert f"the window has {n} such pictures, 100 at least are needed" in " ".join(report.reasons)
    assert not any("no signal exceeds" in reason for reason in report.reasons)
    assert window_alerts(report) == []
    assert confirmed([report, report], drifted) is None


def test_of_enough_rows_the_same_difference_is_drift() -> None:
    """What was lacking was rows."""
    report = assess_window(beside(REFERENCE, answers(100, seed=1, brighter=90, moved=9)), DriftSettings())
    assert report.outcome == "drift"
    assert report.alarm


def test_a_reference_that_is_too_small_lacks_rows_itself() -> None:
    """It is named as the side that does."""
    report = assess_window(beside(answers(99, seed=2), answers(400, seed=1)), DriftSettings())
    assert report.outcome == "insufficient data"
    assert "the reference has 99 such pictures" in report.reasons[0]
