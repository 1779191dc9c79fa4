"""Tests of steps/data/checks/capture_times.py."""

import pandas as pd
import pytest

from steps.data.checks.capture_times import capture_times, check_capture_times


def test_times_are_read_in_utc() -> None:
    """A date is its midnight, another zone the same moment, in whatever text column they come."""
    given = pd.array(["2026-11-21", "2026-11-21T14:00:00+02:00", "2026-11-21T12:00:00.5Z"], dtype="string")
    times = capture_times(pd.DataFrame({"captured_at": given}))
    assert [time.isoformat() for time in times] == [
        "2026-11-21T00:00:00+00:00",
        "2026-11-21T12:00:00+00:00",
        "2026-11-21T12:00:00.500000+00:00",
    ]


@pytest.mark.parametrize("missing", [None, "yesterday"])
def test_a_picture_without_a_time_is_refused(missing: str | None) -> None:
    """The check says how many and how to mend it."""
    index = pd.DataFrame({"image_id": ["a", "b"], "captured_at": ["2026-11-21", missing]})
    check = check_capture_times(index)
    assert (check.outcome, check.measured) == ("refused", 1)
    assert "No readable time in captured_at: 1 of 2 pictures" in check.reason
    assert "--set split.by=groups" in check.reason


def test_a_dataset_without_the_column_has_no_times() -> None:
    """All of its pictures are without one; with all given, nothing is refused."""
    assert check_capture_times(pd.DataFrame({"image_id": ["a", "b"]})).measured == 2
    assert check_capture_times(pd.DataFrame({"captured_at": ["2026-11-21"]})).outcome == "passed"
