"""A schedule: which pipeline runs when, as every orchestrator of this project tells it.

A cron expression has cron's five fields and cron's meaning: Sunday is 0 or 7, and where both the day of the
month and the weekday are restricted, either will do. It is read in UTC, or in the schedule's own time zone.
There each time of the clock comes once: one that is skipped when clocks go forward comes right after, one
that is repeated when they go back comes the first time.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field

from materializers.errors import UsageError
from materializers.release import Environment
from materializers.report import Record

if TYPE_CHECKING:
    from apscheduler.triggers.base import BaseTrigger

Overlap: TypeAlias = Literal["queue", "skip"]
Missed: TypeAlias = Literal["once", "skip"]

COMMAND_KEY = "command"
"""Where a scheduled pipeline's ``extra`` has the arguments of run.py that a fire repeats."""
SCHEDULE_KEY = "schedule"
"""Where it has the schedule's name; ZenML's own schedule has a name that no other ever had."""
TERMS_KEY = "terms"
"""Where it has what is kept beside name and cron expression."""

FIELDS = ("minute", "hour", "day of the month", "month", "weekday")
NUMBERS = re.compile(r"[0-9*,/-]+")
MONTHS = re.compile(r"(?:[0-9*,/-]|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)+")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
WEEKDAY_ITEM = re.compile(r"(?:\*|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>[1-9]\d*))?")
LONGEST_PERIOD = timedelta(days=8 * 366)
"""Between two fires: 29 February comes after eight years where a century is no leap year."""
EXAMPLE = '"0 2 * * 1" is every Monday at 02:00 UTC'
DEFAULT_ZONE = "UTC"
MINUTE = timedelta(minutes=1)


class Planned(Record):
    """The mark of a schedule that the configuration made: of which model, and the digest of what it said."""

    model: str
    content: str


class Terms(Record):
    """How a schedule is fired, what it is about, and who made it."""

    time_zone: str = DEFAULT_ZONE
    """IANA's name of the zone in which its cron expression is read."""
    overlap: Overlap = "queue"
    """What is due while its own last run still goes: one comes after it, or it is left out."""
    missed: Missed = "once"
    """What was due while nobody fired it is made up for, once, or not at all."""
    paused: bool = False
    environment: Environment | None = None
    """Which one its runs look at or change; None: its pipeline has none, or nobody knows."""
    planned: Planned | None = None
    """None: a person's command made it."""


class Schedule(Terms):
    """One schedule. Times are in UTC; None where there is none, or where nobody knows it."""

    name: str
    pipeline: str
    cron: str
    last_fire: datetime | None = None
    next_fire: datetime | None = None
    since: datetime | None = Field(default=None, exclude=True)
    """From when on it fires as it does: when it was made, or changed last."""


def no_such_schedule(name: str, known: Iterable[str]) -> UsageError:
    """What is said of a name that no schedule has; those there are, are named."""
    there = ", ".join(sorted(set(known)))
    there_is = f"there is: {there}" if there else "there is none"
    return UsageError(f"There is no schedule {name!r} ({there_is}): python run.py --schedules")


class ScheduledCommand(Terms):
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
    """From when on it fires: when it was scheduled, or resumed last, or left a fire out."""
    last_fire: datetime | None = None
    begun: datetime | None = None
    """The fire that was begun and has not ended, or was cut off."""
    last_exit_code: int | None = None
    zenml: UUID | None = None
    """The schedule that ZenML lists for it."""

    def due(self, now: datetime | None = None) -> datetime | None:
        """When it has to fire next, in the past where a fire was missed; None while it is paused.

        What is noted for a time to come was noted while the clock was ahead, and counts as not noted: it
        would keep the schedule from firing until then.

        Args:
            now: the time; None: this machine's.
        """
        if self.paused:
            return None
        last = (now or datetime.now(UTC)) + MINUTE
        noted = [at for at in (self.since, self.last_fire) if at is not None and at <= last]
        return self.begun or next_fire(self.cron, max(noted, default=last), self.time_zone)

    def as_schedule(self) -> Schedule:
        """As it is listed."""
        upcoming = None if self.paused else next_fire(self.cron, datetime.now(UTC), self.time_zone)
        return Schedule(
            **{name: getattr(self, name) for name in Terms.model_fields},
            name=self.name,
            pipeline=self.pipeline,
            cron=self.cron,
            last_fire=self.last_fire,
            next_fire=upcoming,
            since=self.since,
        )


def next_fire(cron: str, after: datetime, time_zone: str = DEFAULT_ZONE) -> datetime | None:
    """The first time after ``after`` at which ``cron`` fires, in UTC; None where it never does again.

    Times are counted on the wall clock of the zone, and each is told in UTC afterwards: APScheduler's own
    trigger of a zone fires the same time again and again in the hour that clocks repeat.

    Raises:
        UsageError: it is no cron expression, or nobody knows the time zone.
    """
    calendar, zone = trigger(cron), find_zone(time_zone)
    wall = after.astimezone(zone).replace(tzinfo=UTC, fold=0)
    while (wall := calendar.get_next_fire_time(wall, wall)) is not None:
        found = _moment(wall.replace(tzinfo=None), zone)
        if found > after:
            return found
    return None


def _moment(wall: datetime, zone: ZoneInfo) -> datetime:
    """When a clock of the zone first shows a time, in UTC; of one that it skips, when it has skipped it."""
    while (moment := wall.replace(tzinfo=zone).astimezone(UTC)).astimezone(zone).replace(tzinfo=None) != wall:
        wall += MINUTE
    return moment


def find_zone(name: str) -> ZoneInfo:
    """The time zone of this name.

    Raises:
        UsageError: this machine knows none.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:  # no such file, a folder, no path below the zones
        near = difflib.get_close_matches(name, available_timezones(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "it takes IANA's names, such as Europe/Berlin"
        raise UsageError(f"There is no time zone {name!r}; {hint}") from error


def previous_fire(cron: str, before: datetime, time_zone: str = DEFAULT_ZONE) -> datetime | None:
    """The last time before ``before`` at which ``cron`` fired, in UTC; None where it did not in eight years.

    Raises:
        UsageError: it is no cron expression.
    """
    back = timedelta(minutes=1)
    while back <= LONGEST_PERIOD:
        found, fire = None, next_fire(cron, before - back, time_zone)
        while fire is not None and fire < before:
            found, fire = fire, next_fire(cron, fire, time_zone)
        if found is not None:
            return found
        back *= 2
    return None


def period(cron: str, fire: datetime, time_zone: str = DEFAULT_ZONE) -> timedelta | None:
    """How long before one of its fires ``cron`` fired; None where nobody knows.

    Raises:
        UsageError: it is no cron expression.
    """
    previous = previous_fire(cron, fire, time_zone)
    return None if previous is None else fire - previous


def check_cron(cron: str, time_zone: str = DEFAULT_ZONE) -> None:
    """Refuse an expression by which nothing would ever run.

    Raises:
        UsageError: it is no cron expression, or names a day that no month has; or nobody knows the zone.
    """
    if next_fire(cron, datetime.now(UTC), time_zone) is None:
        raise UsageError(f"The cron expression {cron!r} never fires: no month has such a day. {EXAMPLE}")


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
    """APScheduler's calendar of ``cron``, in UTC.

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
        raise UsageError(f"{cron!r} is no cron expression: {error}. {EXAMPLE}") from error


def _fields(cron: str) -> list[str]:
    fields = cron.lower().split()
    if len(fields) != len(FIELDS):
        raise UsageError(
            f"The cron expression {cron!r} has {len(fields)} fields, it takes {len(FIELDS)} "
            f"({', '.join(FIELDS)}): {EXAMPLE}"
        )
    for name, field, allowed in zip(FIELDS[:4], fields, (NUMBERS, NUMBERS, NUMBERS, MONTHS), strict=False):
        # APScheduler knows more, such as "last"; not every orchestrator does.
        if not allowed.fullmatch(field):
            raise UsageError(f"The cron expression {cron!r}: {field!r} is no {name}: {EXAMPLE}")
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
