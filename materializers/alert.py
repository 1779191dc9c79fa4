"""What people are told, by a name that it is routed by, and when they want to be told."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import Field

from materializers.release import Environment
from materializers.report import Record, json_digest

Severity: TypeAlias = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")
"""The least first."""

HOURS = re.compile(r"(?P<first>\d{1,2}:\d{2})\s*-\s*(?P<last>\d{1,2}:\d{2})")


def at_least(severity: Severity, minimum: Severity) -> bool:
    """Whether a severity is the minimum or above."""
    return SEVERITIES.index(severity) >= SEVERITIES.index(minimum)


class Alert(Record):
    """One thing that people are told of a model.

    Two alerts with the same name, model, environment and subject are about the same thing: the second says
    that it goes on.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Such as ``data_drift_detected``."""
    severity: Severity
    model_name: str
    environment: Environment | None = None
    subject: str | None = None
    """What of the model it is about, where there are several: ``version 3``, the name of a schedule."""
    reasons: tuple[str, ...]
    """A sentence each; never a picture, a secret or a traceback."""
    link: str | None = None
    """A line that says where to look; None: of the run whose step raises it, where one does."""

    event: bool = False
    """Whether it happened and is done with, as a rollback is: told each time, never open and never over."""
    occurrence: str | None = Field(default=None, pattern=r"^[a-z0-9-]+$")
    """Which event it is, where several look for it: whoever raises it, it is told once; None: each raised."""

    @property
    def key(self) -> str:
        """The name of what it is about, among the alerts of its model."""
        return f"{self.name}-{json_digest([self.environment, self.subject])[:16]}"

    @property
    def about(self) -> str:
        """What it is about, in words."""
        where = f" in {self.environment}" if self.environment else ""
        return f"{self.model_name}{where}" + (f", {self.subject}" if self.subject else "")

    @property
    def text(self) -> str:
        """The message: a line that says what it is about, then the reasons, one a line, and where to look."""
        head = f"{self.name} ({self.severity}): {self.about}"
        return "\n".join([head, *self.reasons, *([self.link] if self.link else [])])


class OpenAlert(Record):
    """An alert that was raised and is not over."""

    alert: Alert
    """As it was raised last."""
    severity: Severity
    """The highest that people were given to know since the last repetition."""
    since: datetime
    last: datetime
    """When it was raised last."""
    given: datetime
    """When a message of it was written down last."""

    def is_news(self, alert: Alert, *, repeat_after: timedelta, now: datetime) -> bool:
        """Whether people are told that it goes on: it rose in severity, or the last message is long ago.

        A clock that was set back by more than the interval does not silence it.
        """
        risen = alert.severity != self.severity and at_least(alert.severity, self.severity)
        return risen or abs(now - self.given) >= repeat_after


class Message(Record):
    """One message on its way to people."""

    id: str
    at: datetime
    keys: tuple[str, ...]
    """Of the alerts that it is about."""
    severity: Severity
    over: bool = False
    """Whether it says that they are over."""
    text: str
    taken_by: tuple[str, ...] = ()
    """The targets that have it, while others do not."""
    attempts: int = 0

    def stands_for(self, older: Message) -> bool:
        """Whether nobody misses an older message that has not been told."""
        covers = set(older.keys) <= set(self.keys) and at_least(self.severity, older.severity)
        return covers and not older.over and not older.taken_by


class Delivery(Record):
    """What became of a message at the targets."""

    taken: tuple[str, ...]
    """The names of the targets that took it now; of one that is no address, such as the log, as well."""
    failed: tuple[str, ...] = ()
    """The names of those that are to have it and did not take it; they tell no token."""
    left_out: tuple[str, ...] = ()
    """The names of those that are to have it and were not asked, for they are down."""


class QuietHours(Record):
    """The hours of a day in which only what is critical is told; they may span midnight."""

    first: time
    last: time
    """Not included."""
    zone: str

    @classmethod
    def parse(cls, hours: str, zone: str) -> QuietHours:
        """Read ``22:00-07:00``.

        Raises:
            ValueError: it is no such text.
        """
        found = HOURS.fullmatch(hours.strip())
        example = 'write them like "22:00-07:00"'
        if found is None:
            raise ValueError(f"{hours!r} are no hours: {example}")
        try:
            first, last = (_time(found[name]) for name in ("first", "last"))
        except ValueError as error:
            raise ValueError(f"{hours!r} are no hours of a day: {example}") from error
        if first == last:
            raise ValueError(f"{hours!r} begin when they end: {example}, or leave them out")
        return cls(first=first, last=last, zone=zone)

    def include(self, moment: datetime) -> bool:
        """Whether a moment, with its time zone, lies in them by the clock on the wall there."""
        wall = moment.astimezone(ZoneInfo(self.zone)).time()
        if self.first < self.last:
            return self.first <= wall < self.last
        return wall >= self.first or wall < self.last


def _time(text: str) -> time:
    hour, _, minute = text.partition(":")
    return time(int(hour), int(minute))


def check_zone(name: str) -> str:
    """The name of a time zone.

    Raises:
        ValueError: there is none of this name.
    """
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:  # a folder of zones is an OSError
        raise ValueError(f"{name!r} is no time zone: write one like Europe/Berlin, or UTC") from error
    return name


class AlertSettings(Record):
    """When people want to be told."""

    repeat_hours: float = 24
    """After so long an alert that goes on is told again."""
    approval_hours: float = 24
    """So long a version that passed may wait for a person's approval before people are told."""
    quiet_hours: str | None = None
    """Such as ``22:00-07:00``: what is not critical is held back until they end."""
    time_zone: str = "UTC"
    """Of the quiet hours."""

    @property
    def repeat_after(self) -> timedelta:
        """The interval between two messages of an alert that goes on."""
        return timedelta(hours=self.repeat_hours)

    def holds(self, severity: Severity, now: datetime) -> bool:
        """Whether something of this severity is held back at this moment."""
        if self.quiet_hours is None or severity == "critical":
            return False
        return QuietHours.parse(self.quiet_hours, self.time_zone).include(now)

    @property
    def held_until(self) -> str:
        """When the quiet hours end, in words."""
        end = "" if self.quiet_hours is None else self.quiet_hours.partition("-")[2].strip()
        return f"{end} ({self.time_zone})"
