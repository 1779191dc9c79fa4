"""When a schedule fires, as APScheduler asks for it; imported only by the process that fires."""

from __future__ import annotations

from datetime import datetime

from apscheduler.triggers.base import BaseTrigger

from materializers.schedule import ScheduledCommand, next_fire


class Times(BaseTrigger):  # type: ignore[misc]
    """The fires of one schedule, in its own time zone."""

    def __init__(self, row: ScheduledCommand) -> None:
        self._row = row

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """The first fire after the previous one; after now where there was none."""
        return next_fire(self._row.cron, previous_fire_time or now, self._row.time_zone)
