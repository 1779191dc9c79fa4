"""Tests of steps/data/checks/freshness.py: stale data and late deliveries, at any time of day."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materializers.data_report import Check
from steps.data.checks.freshness import (
    DeliveryInterval,
    FreshnessSettings,
    check_data_age,
    check_delivery_interval,
    check_freshness,
    check_times,
)
from steps.data.checks.limits import CheckLimit, NeededLimit

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MONTH = FreshnessSettings(data_age=NeededLimit(limit=30))
DAILY = CheckLimit(limit=24, severity="refuse")


def index_of(*times: str | None) -> pd.DataFrame:
    """An index whose pictures were taken then."""
    return pd.DataFrame({"captured_at": pd.Series(list(times), dtype="string[pyarrow]")})


def age(*times: str | None, settings: FreshnessSettings = MONTH, **known: Any) -> Check:
    """The check of data of these times."""
    return check_data_age(index_of(*times), settings, **({"now": NOW, "arrived_at": None} | known))


def test_the_newest_picture_decides() -> None:
    """Thirty days old is fresh, however old the others are."""
    check = age("2019-01-01", "2026-10-22T12:00:00Z", None)
    assert (check.outcome, check.measured, check.limit) == ("passed", 30, 30)


def test_stale_data_is_refused() -> None:
    """The sentence says how old they are and what trains on them all the same."""
    check = age("2026-10-20")
    assert (check.outcome, check.measured) == ("refused", 32)
    assert check.reason == (
        "The newest picture was taken on 2026-10-20, 32 days ago; the limit is 30 days. Deliver newer "
        "pictures: python run.py --train --source PATH; or train on these all the same: "
        "--set validate.freshness.allow_stale=true."
    )


def test_stale_data_is_trained_on_when_somebody_says_so() -> None:
    """It stays a warning, so that the report shows it."""
    check = age("2026-10-20", settings=MONTH.model_copy(update={"allow_stale": True}))
    assert (check.outcome, check.refuses) == ("warned", False)


def test_without_times_the_arrival_counts() -> None:
    """Pictures of unknown age are as old as their delivery."""
    assert age(None, arrived_at=NOW - timedelta(days=31)).outcome == "refused"
    assert age(None, arrived_at=NOW - timedelta(days=1)).outcome == "passed"
    assert age("yesterday", arrived_at=NOW).reason.startswith("The newest picture arrived on 2026-11-21")


def test_data_of_unknown_age_is_not_assessed_and_refuses() -> None:
    """Nothing is known, so nothing is taken as fresh, unless stale data is allowed."""
    assert (age(None).outcome, age(None).refuses) == ("not_assessed", True)
    assert not age(None, settings=MONTH.model_copy(update={"allow_stale": True})).refuses


def test_a_time_in_the_future_makes_nothing_fresh() -> None:
    """A camera whose clock says 2099 would hide for ever that nothing new comes."""
    assert age("2099-01-01", "2026-10-01").outcome == "refused"
    assert age("2099-01-01", arrived_at=NOW - timedelta(days=60)).outcome == "refused"


@given(hours=st.integers(0, 24 * 400), offset=st.integers(-12, 12))
def test_age_is_in_whole_days_in_any_time_zone(hours: int, offset: int) -> None:
    """A picture is as old as it is, wherever its camera stood."""
    taken = (NOW - timedelta(hours=hours)).astimezone(timezone(timedelta(hours=offset)))
    check = age(taken.isoformat())
    assert check.measured == hours // 24
    assert (check.outcome == "passed") == (hours // 24 <= 30)


def test_a_delivery_that_did_not_come_is_an_alarm() -> None:
    """A day and an hour after the last one, where one is expected every day."""
    check = check_delivery_interval(NOW - timedelta(hours=25), DAILY, now=NOW)
    assert (check.outcome, check.measured) == ("refused", 25)
    assert "came on 2026-11-20 11:00 UTC, 25 hours ago; one is expected every 24 hours. Ask" in check.reason
    warning = check_delivery_interval(
        NOW - timedelta(hours=25), CheckLimit(limit=24, severity="warn"), now=NOW
    )
    assert warning.outcome == "warned"


def test_a_delivery_on_time_is_none() -> None:
    """Within the interval nothing is said; nor is the first one late."""
    assert check_delivery_interval(NOW - timedelta(hours=24), DAILY, now=NOW).outcome == "passed"
    assert check_delivery_interval(None, DAILY, now=NOW).outcome == "passed"


@pytest.mark.parametrize(("limit", "names"), [(None, ["data_age"]), (24, ["data_age", "delivery_interval"])])
def test_deliveries_are_expected_only_where_it_is_configured(limit: float | None, names: list[str]) -> None:
    """Without an interval nobody knows when one is late."""
    settings = FreshnessSettings(delivery_interval=DeliveryInterval(limit=limit))
    last = NOW - timedelta(days=9)
    checks = check_freshness(index_of(None), settings, now=NOW, arrived_at=last, last_delivery_at=last)
    assert [check.name for check in checks] == names
    assert [check.outcome for check in checks][1:] == ["warned"] * (len(names) - 1)


def test_a_delivery_that_came_is_not_late_any_more() -> None:
    """However long it took, what it brings may be trained on: otherwise no later one ever could."""
    settings = FreshnessSettings(delivery_interval=DeliveryInterval(limit=24, severity="refuse"))
    last = NOW - timedelta(days=9)
    checks = check_freshness(index_of(None), settings, now=NOW, arrived_at=NOW, last_delivery_at=last)
    assert [(check.name, check.outcome) for check in checks] == [
        ("data_age", "passed"),
        ("delivery_interval", "passed"),
    ]


def test_a_time_that_is_none_is_found() -> None:
    """ISO times of any precision are times; ``yesterday`` is not, and a gap is another check's."""
    times = ("2026-11-21", "2026-11-21T14:00:00Z", "2026-11-21 14:00:00+01:00", None)
    bound = CheckLimit(limit=0, severity="refuse")
    assert check_times(index_of(*times), bound).outcome == "passed"
    check = check_times(index_of(*times, "yesterday"), bound)
    assert (check.outcome, check.measured) == ("refused", 1)
    assert "(such as 'yesterday')" in check.reason
