"""When a cron expression fires: as cron says, in UTC or its time zone, and alike on every stack."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from materializers.errors import UsageError
from materializers.schedule import (
    ScheduledCommand,
    check_cron,
    next_fire,
    period,
    previous_fire,
    with_seconds,
)

SATURDAY = datetime(2026, 11, 21, 12, 30, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "fires"),
    [
        ("* * * * *", "2026-11-21 12:31"),
        ("0 2 * * *", "2026-11-22 02:00"),
        ("0 2 * * 1", "2026-11-23 02:00"),  # Monday: APScheduler alone would take Tuesday
        ("0 2 * * MON-FRI", "2026-11-23 02:00"),
        ("0 2 * * 0", "2026-11-22 02:00"),
        ("0 2 * * 7", "2026-11-22 02:00"),
        ("0 2 * * 5-7", "2026-11-22 02:00"),
        ("0 2 * * 3-5/2", "2026-11-25 02:00"),
        ("0 2 * * */3", "2026-11-22 02:00"),
        ("*/20 13-14 * * 6", "2026-11-21 13:00"),
        ("0 0 1 jan *", "2027-01-01 00:00"),
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("0 0 13 * 5", "2026-11-27 00:00"),  # a Friday, or a 13th: cron means either
        ("0 0 24 * 5", "2026-11-24 00:00"),
    ],
)
def test_it_fires_when_cron_would(cron: str, fires: str) -> None:
    """Numbers, names, ranges and steps."""
    found = next_fire(cron, SATURDAY)
    assert found is not None
    assert f"{found:%Y-%m-%d %H:%M}" == fires
    assert found.utcoffset() == timedelta(0)


def test_the_next_fire_is_later() -> None:
    """At the very time of a fire the next one is the one after it."""
    noon = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    assert next_fire("0 12 * * *", noon) == noon + timedelta(days=1)


@pytest.mark.parametrize(
    ("cron", "previous"),
    [
        ("* * * * *", "2026-11-21 12:30"),
        ("0 2 * * *", "2026-11-21 02:00"),
        ("0 2 * * 1", "2026-11-16 02:00"),
        ("*/1 0-1 * * *", "2026-11-21 01:59"),
        ("0 0 29 2 *", "2024-02-29 00:00"),
        ("0 0 13 * 5", "2026-11-20 00:00"),
    ],
)
def test_the_fire_before_is_known(cron: str, previous: str) -> None:
    """However far apart the fires are; the period of a fire is the time from there."""
    found, upcoming = previous_fire(cron, SATURDAY), next_fire(cron, SATURDAY)
    assert found is not None and upcoming is not None
    assert f"{found:%Y-%m-%d %H:%M}" == previous
    assert period(cron, upcoming) == upcoming - found
    assert next_fire(cron, found) == upcoming


def test_what_never_fired_has_no_fire_before() -> None:
    """Nor has the first fire a period."""
    assert previous_fire("0 0 30 2 *", SATURDAY) is None
    assert period("0 0 30 2 *", SATURDAY) is None


@pytest.mark.parametrize(
    ("cron", "time_zone", "after", "fires"),
    [
        # In March 02:00 is skipped, in October it comes twice.
        ("0 2 * * *", "Europe/Berlin", "2026-03-28", ["28 01:00", "29 01:00", "30 00:00"]),
        ("30 2 * * *", "Europe/Berlin", "2026-03-28", ["28 01:30", "29 01:00", "30 00:30"]),
        ("0 2 * * *", "Europe/Berlin", "2026-10-24 12:00", ["25 00:00", "26 01:00"]),
        ("0 3 * * *", "Europe/Berlin", "2026-10-24", ["24 01:00", "25 02:00", "26 02:00"]),
        ("*/30 2-3 * * *", "Europe/Berlin", "2026-03-28 12:00", ["29 01:00", "29 01:30", "30 00:00"]),
        ("*/30 2 * * *", "Europe/Berlin", "2026-10-24 12:00", ["25 00:00", "25 00:30", "26 01:00"]),
        ("0 2 * * 1", "America/New_York", "2026-03-02 12:00", ["09 06:00", "16 06:00", "23 06:00"]),
        ("0 0 * * *", "Asia/Kolkata", "2026-03-27", ["27 18:30", "28 18:30", "29 18:30"]),
        # The island skipped 30 December 2011 as a whole.
        ("0 0 30 12 *", "Pacific/Apia", "2011-12-29", ["30 10:00", "29 10:00", "29 10:00"]),
    ],
)
def test_it_fires_by_the_clock_of_its_zone(cron: str, time_zone: str, after: str, fires: list[str]) -> None:
    """Once each time, whatever is done to the clocks; what they skip comes right after. Told in UTC."""
    moment, found = datetime.fromisoformat(after).replace(tzinfo=UTC), []
    for _ in fires:
        following = next_fire(cron, moment, time_zone)
        assert following is not None
        assert following > moment
        moment = following
        found.append(f"{moment:%d %H:%M}")
    assert found == fires


@pytest.mark.parametrize("time_zone", ["Europe/Berlim", "Mars", "", "Europe", "../etc/passwd", "a\0b"])
def test_a_zone_that_nobody_knows_is_refused(time_zone: str) -> None:
    """With the one that was probably meant, or an example."""
    with pytest.raises(UsageError, match=r"There is no time zone .*Europe/(Berlin|Rome)|Europe/Berlin"):
        check_cron("0 2 * * *", time_zone)


@pytest.mark.parametrize(
    ("cron", "why"),
    [
        ("0 2 * *", "has 4 fields"),
        ("0 0 2 * * 1", "has 6 fields"),
        ("", "has 0 fields"),
        ("@daily", "has 1 fields"),
        ("61 * * * *", "higher than the maximum value"),
        ("30-10 * * * *", "minimum value in a range"),
        ("*/0 * * * *", "Increment must be higher than 0"),
        ("0 2 last * *", "'last' is no day of the month"),
        ("0 2 * movember *", "'movember' is no month"),
        ("0 2 * * 8", "'8' is no weekday"),
        ("0 2 * * fri-mon", "end before they begin"),
        ("0 2 * * mon,", "'' is no weekday"),
        ("0 0 30 2 *", "never fires"),
    ],
)
def test_what_no_orchestrator_could_fire_is_refused(cron: str, why: str) -> None:
    """With the reason, and an expression that would do."""
    with pytest.raises(UsageError, match=why) as refused:
        check_cron(cron)
    assert "every Monday at 02:00 UTC" in str(refused.value)


@pytest.mark.parametrize(
    ("cron", "six"),
    [
        ("*/5 2 * * *", "0 */5 2 * * *"),
        ("0 2 * * 1", "0 0 2 * * mon"),
        ("0 2 1 JAN 5-7", "0 0 2 1 jan sun,fri,sat"),
        ("0 2 * * */2", "0 0 2 * * */2"),
    ],
)
def test_kubeflow_takes_six_fields(cron: str, six: str) -> None:
    """Seconds first; Sunday is no 7 there."""
    assert with_seconds(cron) == six


def test_what_is_no_cron_expression_is_none_with_seconds_either() -> None:
    """It is refused before Kubeflow gets it."""
    with pytest.raises(UsageError, match="'9' is no weekday"):
        with_seconds("0 2 * * 9")


def row(**changes: object) -> ScheduledCommand:
    """A schedule of every full hour, since a Saturday's noon."""
    given = {
        "name": "training-shop",
        "pipeline": "training",
        "cron": "0 * * * *",
        "command": ("--train",),
        "stack": "local",
        "directory": "/",
        "since": SATURDAY,
        **changes,
    }
    return ScheduledCommand.model_validate(given)


def test_a_new_schedule_is_due_at_its_first_time() -> None:
    """Not for what was before it."""
    assert row().due(SATURDAY) == datetime(2026, 11, 21, 13, 0, tzinfo=UTC)


def test_what_was_missed_is_due_since_then() -> None:
    """The first time after the last fire, or after it was resumed."""
    fired = SATURDAY + timedelta(hours=3)
    assert row(last_fire=fired).due(fired) == datetime(2026, 11, 21, 16, 0, tzinfo=UTC)
    assert row(last_fire=SATURDAY, since=fired).due(fired) == datetime(2026, 11, 21, 16, 0, tzinfo=UTC)


def test_what_was_noted_while_the_clock_was_ahead_stops_no_schedule() -> None:
    """It fires once for what it missed, or at its next time where nothing else is known of it."""
    ahead = SATURDAY + timedelta(days=30)
    first = datetime(2026, 11, 21, 13, 0, tzinfo=UTC)
    assert row(last_fire=ahead).due(SATURDAY + timedelta(hours=5)) == first
    assert row(last_fire=ahead, since=ahead).due(SATURDAY) == first


def test_what_was_cut_off_is_due_at_once() -> None:
    """At the time of the fire that did not end."""
    assert row(last_fire=SATURDAY, begun=SATURDAY).due() == SATURDAY


def test_what_is_paused_is_never_due() -> None:
    """Neither is it listed with a next time."""
    assert row(paused=True, begun=SATURDAY).due() is None
    assert row(paused=True).as_schedule().next_fire is None
