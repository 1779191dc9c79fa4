"""A schedule: which pipeline runs when, as every orchestrator of this project tells it.

A cron expression has cron's five fields and is read in UTC on every stack, with cron's meaning: Sunday is 0
or 7, and where both the day of the month and the weekday are restricted, either will do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from pydantic import Field

from materializers.errors import UsageError
from materializers.report import Record

if TYPE_CHECKING:
    from apscheduler.triggers.base import BaseTrigger

COMMAND_KEY = "command"
"""Where a scheduled pipeline's ``extra`` has the arguments of run.py that a fire repeats."""
SCHEDULE_KEY = "schedule"
"""Where it has the schedule's name; ZenML's own schedule has a name that no other ever had."""

FIELDS = ("minute", "hour", "day of the month", "month", "weekday")
NUMBERS = re.compile(r"[0-9*,/-]+")
MONTHS = re.compile(r"(?:[0-9*,/-]|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)+")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
WEEKDAY_ITEM = re.compile(r"(?:\*|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>[1-9]\d*))?")
LONGEST_PERIOD = timedelta(days=8 * 366)
"""Between two fires: 29 February comes after eight years where a century is no leap year."""
EXAMPLE = '"0 2 * * 1" is every Monday at 02:00 UTC'


class Schedule(Record):
    """One schedule. Times are in UTC; None where there is none, or where nobody knows it."""

    name: str
    pipeline: str
    cron: str
    paused: bool = False
    last_fire: datetime | None = None
    next_fire: datetime | None = None
    since: datetime | None = Field(default=None, exclude=True)
    """From when on it fires as it does: when it was made, or changed last."""


def no_such_schedule(name: str, known: Iterable[str]) -> UsageError:
    """What is said of a name that no schedule has; those there are, are named."""
    there = ", ".join(sorted(set(known)))
    there_is = f"there is: {there}" if there else "there is none"
    return UsageError(f"There is no schedule {name!r} ({there_is}): python run.py --schedules")


class ScheduledCommand(Record):
    """A schedule that repeats a command of run.py on this machine, and what came of it so far."""

    name: str
    pipeline: str
    cron: str
    command: tuple[str, ...]
    """The arguments of run.py, without ``--stack``."""
    stack: str
    directory: str
    """Where the command was scheduled: paths in it may be relative."""
    since: datetime
    """From when on it fires: when it was scheduled, or resumed last."""
    paused: bool = False
    last_fire: datetime | None = None
    begun: datetime | None = None
    """The fire that was begun and has not ended, or was cut off."""
    last_exit_code: int | None = None
    zenml: UUID | None = None
    """The schedule that ZenML lists for it."""

    def due(self) -> datetime | None:
        """When it has to fire next, in the past where a fire was missed; None while it is paused."""
        if self.paused:
            return None
        return self.begun or next_fire(self.cron, max(self.since, self.last_fire or self.since))

    def as_schedule(self) -> Schedule:
        """As it is listed."""
        return Schedule(
            name=self.name,
            pipeline=self.pipeline,
            cron=self.cron,
            paused=self.paused,
            last_fire=self.last_fire,
            next_fire=None if self.paused else next_fire(self.cron, datetime.now(UTC)),
            since=self.since,
        )


def next_fire(cron: str, after: datetime) -> datetime | None:
    """The first time after ``after`` at which ``cron`` fires, in UTC; None where it never does again.

    Raises:
        UsageError: it is no cron expression.
    """
    found: datetime | None = trigger(cron).get_next_fire_time(after, after)
    return found.astimezone(UTC) if found else None


def previous_fire(cron: str, before: datetime) -> datetime | None:
    """The last time before ``before`` at which ``cron`` fired, in UTC; None where it did not in eight years.

    Raises:
        UsageError: it is no cron expression.
    """
    back = timedelta(minutes=1)
    while back <= LONGEST_PERIOD:
        found, fire = None, next_fire(cron, before - back)
        while fire is not None and fire < before:
            found, fire = fire, next_fire(cron, fire)
        if found is not None:
            return found
        back *= 2
    return None


def period(cron: str, fire: datetime) -> timedelta | None:
    """How long before one of its fires ``cron`` fired; None where nobody knows.

    Raises:
        UsageError: it is no cron expression.
    """
    previous = previous_fire(cron, fire)
    return None if previous is None else fire - previous


def check_cron(cron: str) -> None:
    """Refuse an expression by which nothing would ever run.

    Raises:
        UsageError: it is no cron expression, or names a day that no month has.
    """
    if next_fire(cron, datetime.now(UTC)) is None:
        raise UsageError(f"--schedule {cron!r} never fires: no month has such a day. {EXAMPLE}")


def with_seconds(cron: str) -> str:
    """The same in the six fields that Kubeflow takes: of five it would read the first as seconds.

    It knows weekdays by name, and by number only from 0 to 6.

    Raises:
        UsageError: it is no cron expression.
    """
    trigger(cron)
    minute, hour, day, month, weekday = _fields(cron)
    days = weekday if weekday.startswith("*") else _weekdays(weekday)
    return f"0 {minute} {hour} {day} {month} {days}"


def trigger(cron: str) -> BaseTrigger:
    """What tells APScheduler when ``cron`` fires.

    Raises:
        UsageError: it is no cron expression.
    """
    from apscheduler.triggers.combining import OrTrigger
    from apscheduler.triggers.cron import CronTrigger

    minute, hour, day, month, weekday = _fields(cron)
    common = {"minute": minute, "hour": hour, "month": month, "timezone": UTC}
    try:
        days = _weekdays(weekday)
        if not day.startswith("*") and not weekday.startswith("*"):
            return OrTrigger([CronTrigger(day=day, **common), CronTrigger(day_of_week=days, **common)])
        return CronTrigger(day=day, day_of_week=days, **common)
    except ValueError as error:
        raise UsageError(f"--schedule {cron!r} is no cron expression: {error}. {EXAMPLE}") from error


def _fields(cron: str) -> list[str]:
    fields = cron.lower().split()
    if len(fields) != len(FIELDS):
        raise UsageError(
            f"--schedule {cron!r} has {len(fields)} fields, a cron expression has {len(FIELDS)} "
            f"({', '.join(FIELDS)}): {EXAMPLE}"
        )
    for name, field, allowed in zip(FIELDS[:4], fields, (NUMBERS, NUMBERS, NUMBERS, MONTHS), strict=False):
        # APScheduler knows more, such as "last"; not every orchestrator does.
        if not allowed.fullmatch(field):
            raise UsageError(f"--schedule {cron!r}: {field!r} is no {name} of a cron expression: {EXAMPLE}")
    return fields


def _weekdays(field: str) -> str:
    """The days by name: APScheduler counts them from Monday, cron from Sunday.

    Raises:
        ValueError: it names no days.
    """
    days: set[int] = set()
    for item in field.split(","):
        match = WEEKDAY_ITEM.fullmatch(item)
        if match is None:
            raise ValueError(f"{item!r} is no weekday")
        first = _weekday(match["first"]) if match["first"] else 0
        only = match["first"] and not match["last"] and not match["step"]
        last = _weekday(match["last"]) if match["last"] else first if only else len(WEEKDAYS) - 1
        if last < first:
            raise ValueError(f"the weekdays {item!r} end before they begin")
        days.update(day % len(WEEKDAYS) for day in range(first, last + 1, int(match["step"] or 1)))
    return ",".join(WEEKDAYS[day] for day in sorted(days))


def _weekday(name: str) -> int:
    if name in WEEKDAYS:
        return WEEKDAYS.index(name)
    if name.isdecimal() and int(name) <= len(WEEKDAYS):
        return int(name)
    raise ValueError(f"{name!r} is no weekday: 0 to 7, or sun to sat")
