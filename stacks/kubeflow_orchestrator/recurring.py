"""Schedules as Kubeflow's recurring runs; one is ours when its description says so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from materializers.schedule import Schedule, next_fire, no_such_schedule

if TYPE_CHECKING:
    import kfp

OURS = re.compile(r"Shutterline: (?P<pipeline>\S+) at (?P<cron>.+) UTC; in ZenML (?P<zenml>[0-9a-f-]{36})")
PAGE = 100


class Recurring(NamedTuple):
    """One of our schedules: its id in Kubeflow and in ZenML, and what a person sees of it."""

    id: str
    zenml_id: UUID
    schedule: Schedule


def describe(pipeline: str, cron: str, zenml_id: UUID) -> str:
    """The description that a recurring run of ours has."""
    return f"Shutterline: {pipeline} at {cron} UTC; in ZenML {zenml_id}"


def recurring_runs(client: kfp.Client, namespace: str | None) -> Iterator[Recurring]:
    """Our schedules, as Kubeflow has them now."""
    token = ""
    while True:
        page = client.list_recurring_runs(page_token=token, page_size=PAGE, namespace=namespace)
        for entry in page.recurring_runs or []:
            match = OURS.match(entry.description or "")
            if match is not None:
                schedule = _schedule(entry, match["pipeline"], match["cron"])
                yield Recurring(str(entry.recurring_run_id), UUID(match["zenml"]), schedule)
        token = page.next_page_token or ""
        if not token:
            return


def named(client: kfp.Client, namespace: str | None, name: str) -> list[Recurring]:
    """Our schedules of this name: one, or two where a replacement was cut short.

    Raises:
        UsageError: there is none.
    """
    there = list(recurring_runs(client, namespace))
    found = [one for one in there if one.schedule.name == name]
    if not found:
        raise no_such_schedule(name, (one.schedule.name for one in there))
    return found


def _schedule(entry: Any, pipeline: str, cron: str) -> Schedule:
    paused = entry.status != "ENABLED"
    return Schedule(
        name=entry.display_name,
        pipeline=pipeline,
        cron=cron,
        paused=paused,
        next_fire=None if paused else next_fire(cron, datetime.now(UTC)),
        since=max((at for at in (entry.created_at, entry.updated_at) if at is not None), default=None),
    )
