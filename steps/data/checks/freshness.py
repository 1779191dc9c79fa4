"""Whether the data are fresh and the deliveries come on time: late data is an alarm, not silence.

The clock is an argument: whoever calls reads it, once, where nothing is cached.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import pandas as pd
from pydantic import Field

from materializers.data_report import Check, Severity
from materializers.report import Record, counted
from steps.data.checks.capture_times import capture_times
from steps.data.checks.judging import judged, not_assessed
from steps.data.checks.limits import CheckLimit, NeededLimit

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
DELIVERY_INTERVAL = "delivery_interval"
"""The name of the check whether deliveries come on time."""
STALE_MEND = (
    "Deliver newer pictures: python run.py --train --source PATH; or train on these all the same: "
    "--set validate.freshness.allow_stale=true."
)


class DeliveryInterval(Record):
    """How long after one delivery of a source the next one is late."""

    limit: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """In hours; None where nothing is expected."""
    severity: Severity = "warn"


class FreshnessSettings(Record):
    """How old data may be, and how often it has to come."""

    data_age: NeededLimit = NeededLimit(limit=365)
    """In days: the age of the newest picture, or, where no row says when it was taken, since it arrived."""
    allow_stale: bool = False
    """Train on older data all the same: the check then warns."""
    delivery_interval: DeliveryInterval = DeliveryInterval()


def check_freshness(
    index: pd.DataFrame,
    settings: FreshnessSettings,
    *,
    now: datetime,
    arrived_at: datetime | None,
    last_delivery_at: datetime | None,
) -> list[Check]:
    """Whether the data are fresh and came on time.

    Ages are in whole days and hours, so that a run which is resumed finds the same report.

    Args:
        index: one row a picture; column ``captured_at``.
        settings: the limits.
        now: the time, with its zone.
        arrived_at: when these data arrived, or None where nobody knows.
        last_delivery_at: when new data of this source arrived before, or None where none did.
    """
    checks = [check_data_age(index, settings, now=now, arrived_at=arrived_at)]
    interval = settings.delivery_interval
    if interval.limit is not None:
        # A delivery that comes is not late any more: that it lacked was told by the runs before it.
        came = arrived_at is not None and (last_delivery_at is None or arrived_at > last_delivery_at)
        bound = CheckLimit(limit=interval.limit, severity=interval.severity)
        checks.append(check_delivery_interval(arrived_at if came else last_delivery_at, bound, now=now))
    return checks


def check_data_age(
    index: pd.DataFrame, settings: FreshnessSettings, *, now: datetime, arrived_at: datetime | None
) -> Check:
    """How old the newest picture is; a time that lies in the future says nothing and is passed over."""
    bound = CheckLimit(
        limit=settings.data_age.limit, severity="warn" if settings.allow_stale else settings.data_age.severity
    )
    times = capture_times(index)
    times = times[times <= now]
    newest, said = (times.max().to_pydatetime(), "was taken") if len(times) else (arrived_at, "arrived")
    if newest is None:
        reason = "Nobody knows how old the data are: no row has captured_at, nor is their arrival known."
        return not_assessed("data_age", bound, f"{reason} {STALE_MEND}")
    age = max(0, (now - newest) // DAY)
    reason = (
        f"The newest picture {said} on {newest:%Y-%m-%d}, {counted(age, 'day')} ago; the limit is "
        f"{bound.limit:,.0f} days."
    )
    return judged("data_age", age, bound, "at most", reason, STALE_MEND)


def check_delivery_interval(last_delivery_at: datetime | None, bound: CheckLimit, *, now: datetime) -> Check:
    """How long ago the last delivery of this source came; the first one cannot be late."""
    if last_delivery_at is None:
        reason = "This is the first delivery of its source: there is none that it could be late after."
        return judged(DELIVERY_INTERVAL, 0, bound, "at most", reason, "")
    hours = max(0, (now - last_delivery_at) // HOUR)
    reason = (
        f"The last new delivery came on {last_delivery_at:%Y-%m-%d %H:%M %Z}, "
        f"{counted(hours, 'hour')} ago; one is expected every {bound.limit:,.0f} hours."
    )
    mend = "Ask the supplier where the next one is, or change validate.freshness.delivery_interval.limit."
    return judged(DELIVERY_INTERVAL, hours, bound, "at most", reason, mend)


def check_times(index: pd.DataFrame, bound: CheckLimit) -> Check:
    """Whether every ``captured_at`` that is given is a time."""
    wrong = index["captured_at"][index["captured_at"].notna() & capture_times(index).isna()]
    shown = f" (such as {str(wrong.iloc[0])!r})" if len(wrong) else ""
    reason = (
        f"Values of captured_at that are no ISO 8601 time: {len(wrong):,}{shown}; {bound.limit:,.0f} may be."
    )
    mend = "Write them like 2026-11-21T14:00:00Z."
    return judged("captured_at", len(wrong), bound, "at most", reason, mend)
