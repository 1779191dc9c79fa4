"""When a window of traffic begins, and which of its pictures are compared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from steps.monitoring.traffic.window import begin_of, first_of_each

NIGHT = datetime(2026, 6, 2, 2, tzinfo=UTC)
DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)


@pytest.mark.parametrize("late", [-40, -1, 0, 1, 40])
def test_daily_windows_never_overlap_whatever_second_each_look_begins_at(late: int) -> None:
    """Yesterday's look began some seconds sooner or later in its minute; none is in both, few are in none."""
    yesterday = NIGHT - DAY + late * SECOND
    begin = begin_of(NIGHT, DAY, [yesterday])
    assert begin == max(yesterday, NIGHT - DAY)


def test_a_window_that_a_person_looked_at_in_between_changes_nothing() -> None:
    """What overlaps by much is another look at the same traffic."""
    assert begin_of(NIGHT, DAY, [NIGHT - 12 * HOUR, NIGHT - 22 * HOUR]) == NIGHT - DAY
    assert begin_of(NIGHT, DAY, []) == NIGHT - DAY


def test_a_window_begins_where_the_earliest_of_those_that_it_touches_ended() -> None:
    """So that it loses as little as it can."""
    ends = [NIGHT - DAY + minutes * 60 * SECOND for minutes in (50, 10, 30)]
    assert begin_of(NIGHT, DAY, ends) == NIGHT - DAY + 600 * SECOND


def asked(*rows: tuple[str | None, str | None, bytes | None]) -> pd.DataFrame:
    """Captured pictures: image id, digest of what was sent, the picture where it was kept."""
    return pd.DataFrame(list(rows), columns=["image_id", "input_digest", "picture"], dtype=object)


def test_a_picture_that_was_asked_about_again_counts_once() -> None:
    """By what it shows, or by its bytes where that is not known; the others stay in their order."""
    rows = asked(
        *(("a", "1", None), ("b", "2", None), ("a", "3", None)),
        *((None, "4", None), (None, "4", None), ("c", "5", None)),
    )
    assert list(first_of_each(rows).index) == [0, 1, 3, 5]


def test_of_several_answers_one_whose_picture_was_kept_stays() -> None:
    """Else less would be known of what pictures look like than was kept."""
    rows = asked(("a", "1", None), ("a", "1", b"png"), ("a", "1", b"png"), ("b", "2", None))
    assert list(first_of_each(rows).index) == [1, 3]


def test_answers_of_which_no_picture_is_known_are_not_taken_for_one() -> None:
    """Nobody knows that they are copies."""
    assert len(first_of_each(asked((None, None, None), (None, None, None)))) == 2
    assert first_of_each(asked()).empty
