"""What the configuration wants to run again and again; ``--schedules --apply`` makes it true on the stack."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import AfterValidator, Field

from materializers.release import Environment
from materializers.report import Record
from materializers.schedule import DEFAULT_ZONE, Missed, Overlap

Scheduled: TypeAlias = Literal["training", "deployment", "continuous", "inference", "monitoring"]
LOOKS = "observe-"
"""What the names of the schedules begin with that look at what is rolling out."""


def _not_taken(name: str) -> str:
    if name == "reproduction" or name in get_args(Scheduled) or name.startswith(LOOKS):
        raise ValueError(
            f"{name!r} is what schedules of --schedule and --deploy are called: name it otherwise"
        )
    return name


RowName: TypeAlias = Annotated[
    str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"), AfterValidator(_not_taken)
]
"""The schedule is called by it and by the model."""


class ScheduleSettings(Record):
    """One row of the timetable: which pipeline, when, and on what, as the flags of run.py would say it."""

    pipeline: Scheduled
    cron: str
    time_zone: str | None = None
    """In which ``cron`` is read, by its IANA name; None: in that of the timetable."""
    overlap: Overlap = "queue"
    """What is due while its own last run still goes: one comes after it, or it is left out."""
    missed: Missed = "once"
    """What was due while nobody fired it is made up for, once, or not at all."""
    enabled: bool = True
    """False: there is no such schedule."""
    environment: Environment = "staging"
    source: str | None = None
    """Of a pipeline that takes one; None, and no ``data``: that of the timetable."""
    data: str | None = None
    version: int | None = None
    input: str | None = None
    output: str | None = None
    settings: tuple[str, ...] = ()
    """``key=value``, as ``--set`` takes them: for its runs alone."""


class TimetableSettings(Record):
    """The timetable, by the names of its rows."""

    time_zone: str = DEFAULT_ZONE
    source: str | None = None
    """The folder or ``s3://`` prefix of the deliveries; None: each row says its own."""
    rows: dict[RowName, ScheduleSettings]
