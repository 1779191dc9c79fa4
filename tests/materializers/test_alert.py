"""An alert says what it is about; quiet hours are those of the clock on the wall."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from materializers.alert import Alert, AlertSettings, Message, OpenAlert, QuietHours, at_least, check_zone

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def alert(**about: object) -> Alert:
    """An alert on a model."""
    return Alert.model_validate(
        {
            "name": "run_missing",
            "severity": "warning",
            "model_name": "shop",
            "reasons": ("none came",),
            **about,
        }
    )


def test_a_message_says_what_it_is_about_why_and_where_to_look() -> None:
    """A line each."""
    assert alert().text == "run_missing (warning): shop\nnone came"
    about = alert(environment="production", subject="schedule a", link="Look at it: https://zenml")
    assert about.text == (
        "run_missing (warning): shop in production, schedule a\nnone came\nLook at it: https://zenml"
    )


def test_the_key_is_what_it_is_about() -> None:
    """Reasons and severity change, the alert is the same; its file is found by its name."""
    assert alert().key == alert(severity="critical", reasons=("another",)).key
    assert len({alert().key, alert(subject="a").key, alert(environment="staging").key}) == 3
    assert alert().key.startswith("run_missing-")


@pytest.mark.parametrize("name", ["Run", "run-missing", "", "../run"])
def test_a_name_that_nobody_could_route_by_is_refused(name: str) -> None:
    """It is part of a file's name, too."""
    with pytest.raises(ValueError, match="name"):
        alert(name=name)


@pytest.mark.parametrize(
    ("hours", "clock", "inside"),
    [
        ("22:00-07:00", "22:00", True),
        ("22:00-07:00", "06:59", True),
        ("22:00-07:00", "07:00", False),
        ("22:00-07:00", "21:59", False),
        ("09:00 - 12:30", "12:29", True),
        ("09:00 - 12:30", "12:30", False),
        ("9:00-12:30", "08:59", False),
    ],
)
def test_hours_begin_and_end_by_the_clock(hours: str, clock: str, inside: bool) -> None:
    """Also across midnight."""
    hour, minute = map(int, clock.split(":"))
    moment = NOON.replace(hour=hour, minute=minute)
    assert QuietHours.parse(hours, "UTC").include(moment) is inside


def test_summer_time_is_that_of_the_zone() -> None:
    """20:30 UTC is 22:30 in Berlin in summer, and 21:30 in winter."""
    hours = QuietHours.parse("22:00-07:00", "Europe/Berlin")
    evening = NOON.replace(hour=20, minute=30)
    assert hours.include(evening)
    assert not hours.include(evening.replace(month=12))


@pytest.mark.parametrize("hours", ["22-7", "22:00", "25:00-07:00", "22:60-07:00", "07:00-07:00", "night"])
def test_hours_that_are_none_are_refused(hours: str) -> None:
    """With an example of some that are."""
    with pytest.raises(ValueError, match='"22:00-07:00"'):
        QuietHours.parse(hours, "UTC")


@pytest.mark.parametrize("zone", ["Europe/Berln", "", "Europe", "../UTC"])
def test_a_time_zone_that_is_none_is_refused(zone: str) -> None:
    """With an example of one that is."""
    with pytest.raises(ValueError, match="is no time zone: write one like Europe/Berlin"):
        check_zone(zone)


def test_only_what_is_not_critical_is_held_back() -> None:
    """Without quiet hours nothing is."""
    quiet = AlertSettings(quiet_hours="11:00-13:00")
    held = [quiet.holds(severity, NOON) for severity in ("info", "warning", "critical")]
    assert held == [True, True, False]
    assert not AlertSettings().holds("info", NOON)


def test_severities_are_in_order() -> None:
    """Of two, one is the least."""
    assert at_least("critical", "warning") and at_least("info", "info")
    assert not at_least("info", "warning")


@pytest.mark.parametrize(
    ("severity", "after", "news"),
    [
        ("warning", 0.5, False),
        ("warning", 1, True),
        ("warning", -2, True),
        ("critical", 0, True),
        ("info", 0.5, False),
    ],
)
def test_news_is_a_rise_or_what_was_told_long_ago(severity: str, after: float, news: bool) -> None:
    """By either clock: one that was set back by more than the interval does not silence it."""
    state = OpenAlert(alert=alert(), severity="warning", since=NOON, last=NOON, given=NOON)
    assert state.is_news(alert(severity=severity), repeat_after=DAY, now=NOON + after * DAY) is news


def message(*keys: str, **about: object) -> Message:
    """A message about these alerts."""
    known = {"id": "1", "at": NOON, "keys": keys, "severity": "warning", "text": "text", **about}
    return Message.model_validate(known)


def test_a_newer_message_stands_for_an_older_one_that_nobody_misses() -> None:
    """Not for what is graver, about something else, known to somebody in part, or that says it is over."""
    end = message("a", "b", over=True)
    assert end.stands_for(message("a"))
    assert message("a").stands_for(message("a"))
    for missed in (
        message("a", "c"),
        message("a", severity="critical"),
        message("a", taken_by=("urls 1: slack",)),
        message("a", over=True),
    ):
        assert not end.stands_for(missed)
