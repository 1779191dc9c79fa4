"""Signals of the data fire at their limit, and say what was measured."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from steps.monitoring.triggers.data import data_volume, freshness, new_data, newest_picture
from steps.monitoring.triggers.settings import TriggerSettings

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(("changes", "fired"), [(9, False), (10, True)])
def test_enough_new_pictures_fire(changes: int, fired: bool) -> None:
    """At the limit, and the reason has both numbers."""
    signal = new_data(changes, TriggerSettings(new_rows=10))
    assert (signal.value, signal.limit, signal.fired) == (changes, 10, fired)
    assert f"{changes} pictures are new or relabelled" in signal.reason
    assert "the limit is 10" in signal.reason


@pytest.mark.parametrize(("changes", "fired"), [(19, False), (20, True)])
def test_a_large_enough_share_fires(changes: int, fired: bool) -> None:
    """Of what the last version learnt from."""
    signal = data_volume(changes, 100, TriggerSettings(new_share=0.2))
    assert (signal.value, signal.fired) == (changes / 100, fired)
    assert "of the 100 that the last version learnt from" in signal.reason


@pytest.mark.parametrize("learnt", [None, 0])
def test_a_share_of_nobody_knows_what_never_fires(learnt: int | None) -> None:
    """It is said instead."""
    signal = data_volume(50, learnt, TriggerSettings(new_share=0.2))
    assert (signal.value, signal.fired) == (None, False)
    assert "not known" in signal.reason


@pytest.mark.parametrize(("days", "fired"), [(6.9, False), (7, True), (-3, False)])
def test_newer_pictures_fire(days: float, fired: bool) -> None:
    """By the newest picture of each."""
    signal = freshness(NOON, NOON - timedelta(days=days), TriggerSettings(newer_days=7))
    assert signal.value == pytest.approx(days)
    assert signal.fired is fired


@pytest.mark.parametrize("moments", [(None, NOON), (NOON, None)])
def test_pictures_that_do_not_say_when_they_were_taken_never_fire(
    moments: tuple[datetime | None, datetime | None],
) -> None:
    """It is said instead."""
    signal = freshness(*moments, TriggerSettings(newer_days=7))
    assert (signal.value, signal.fired) == (None, False)
    assert "do not say when they were taken" in signal.reason


def test_what_is_not_set_is_not_asked() -> None:
    """By default neither a share nor a freshness counts, whatever they are."""
    settings = TriggerSettings()
    for signal in (data_volume(99, 100, settings), freshness(NOON, NOON - timedelta(days=999), settings)):
        assert not signal.fired
        assert "is not set" in signal.reason


def test_the_newest_picture_is_found_among_those_that_say_when() -> None:
    """One without a date changes nothing; none with one is unknown."""
    index = pd.DataFrame({"captured_at": ["2026-01-02T00:00:00Z", None, "2026-01-03T00:00:00Z"]})
    assert newest_picture(index) == datetime(2026, 1, 3, tzinfo=UTC)
    assert newest_picture(pd.DataFrame({"captured_at": [None]})) is None
    assert newest_picture(pd.DataFrame({"label": ["tops"]})) is None
    assert newest_picture(None) is None
