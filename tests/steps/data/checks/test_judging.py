"""Tests of steps/data/checks/judging.py: one measured value, one limit, one outcome."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.data.checks.judging import Direction, judged, not_assessed
from steps.data.checks.limits import CheckLimit

REFUSE = CheckLimit(limit=5, severity="refuse")
WARN = CheckLimit(limit=5, severity="warn")


@pytest.mark.parametrize(
    ("direction", "passing", "failing"),
    [("at most", 5, 5.1), ("at least", 5, 4.9), ("under", 4.9, 5)],
)
def test_the_limit_itself_is_within_but_for_under(
    direction: Direction, passing: float, failing: float
) -> None:
    """What lies beyond refuses or warns, as the severity says."""
    assert judged("rows", passing, REFUSE, direction, "reason.", "mend.").outcome == "passed"
    assert judged("rows", failing, REFUSE, direction, "reason.", "mend.").outcome == "refused"
    assert judged("rows", failing, WARN, direction, "reason.", "mend.").outcome == "warned"


def test_the_mend_is_said_when_it_is_needed() -> None:
    """A passed check has nothing to mend."""
    assert judged("rows", 5, REFUSE, "at most", "Measured.", "Mend it.").reason == "Measured."
    assert judged("rows", 6, REFUSE, "at most", "Measured.", "Mend it.").reason == "Measured. Mend it."


@pytest.mark.parametrize("measured", [None, math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_never_a_pass(measured: float | None) -> None:
    """Comparing with NaN is false in every direction: it has to be caught before."""
    for direction in ("at most", "at least", "under"):
        check = judged("rows", measured, REFUSE, direction, "reason.", "mend.")
        assert (check.outcome, check.measured, check.refuses) == ("not_assessed", None, True)


def test_what_was_not_assessed_refuses_as_its_severity_says() -> None:
    """A policy that warns lets the run go on."""
    assert not_assessed("faces", REFUSE, "No detector.").refuses
    assert not not_assessed("faces", WARN, "No detector.").refuses


@given(measured=st.floats(allow_nan=False, allow_infinity=False), limit=st.floats(-1e9, 1e9))
def test_a_check_passes_or_fails_and_says_its_numbers(measured: float, limit: float) -> None:
    """For any numbers: within the limit passed, beyond it refused, both written down."""
    bound = CheckLimit(limit=limit, severity="refuse")
    check = judged("x", measured, bound, "at most", "r.", "m.")
    assert (check.outcome == "passed") == (measured <= limit)
    assert (check.measured, check.limit, check.severity) == (measured, limit, "refuse")
