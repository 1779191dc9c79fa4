"""Schedules as Kubeflow's recurring runs; one is ours when its description says so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, get_args
from uuid import UUID

from materializers.errors import UsageError
from materializers.release import Environment
from materializers.schedule import DEFAULT_ZONE, Planned, Schedule, Terms, next_fire, no_such_schedule

if TYPE_CHECKING:
    import kfp

OURS = re.compile(
    r"Shutterline: (?P<pipeline>\S+) at (?P<cron>.+) UTC; in ZenML (?P<zenml>[0-9a-f-]{36})"
    r"(?:; by the configuration of (?P<model>\S+), (?P<content>[0-9a-f]{64}))?"
    rf"(?:; of (?P<environment>{'|'.join(get_args(Environment))}))?"
)
PAGE = 100


class Recurring(NamedTuple):
    """One of our schedules: its id in Kubeflow and in ZenML, and what a person sees of it."""

    id: str
    zenml_id: UUID
    schedule: Schedule


def describe(
    pipeline: str,
    cron: str,
    zenml_id: UUID,
    planned: Planned | None = None,
    environment: Environment | None = None,
) -> str:
    """The description that a recurring run of ours has."""
    made = f"; by the configuration of {planned.model}, {planned.content}" if planned else ""
    about = f"; of {environment}" if environment else ""
    return f"Shutterline: {pipeline} at {cron} UTC; in ZenML {zenml_id}{made}{about}"


def check_terms(terms: Terms) -> None:
    """Refuse what Kubeflow's controller does otherwise.

    It reads a recurring run's expression in UTC. Of several fires that are due, as after a pause of its own
    or while a run goes, it begins the latest, once (``no_catchup``, ``max_concurrency`` 1).

    Raises:
        UsageError: the schedule asks for anything else.
    """
    asked = {"time_zone": terms.time_zone, "overlap": terms.overlap, "missed": terms.missed}
    for name, does in {"time_zone": DEFAULT_ZONE, "overlap": "queue", "missed": "once"}.items():
        if asked[name] != does:
            raise UsageError(
                f"Kubeflow fires a schedule with {name} {does} and no other (given: {asked[name]}): set it "
                "so, and in another zone choose the cron expression for UTC"
            )


def recurring_runs(client: kfp.Client, namespace: str | None) -> Iterator[Recurring]:
    """Our schedules, as Kubeflow has them now."""
    token = ""
    while True:
        page = client.list_recurring_runs(page_token=token, page_size=PAGE, namespace=namespace)
        for entry in page.recurring_runs or []:
            match = OURS.match(entry.description or "")
            if match is not None:
                schedule = _schedule(entry, match)
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


def _schedule(entry: Any, said: re.Match[str]) -> Schedule:
    paused, cron, content = entry.status != "ENABLED", said["cron"], said["content"]
    return Schedule(
        name=entry.display_name,
        pipeline=said["pipeline"],
        cron=cron,
        paused=paused,
        planned=Planned(model=said["model"], content=content) if content else None,
        environment=said["environment"],
        next_fire=None if paused else next_fire(cron, datetime.now(UTC)),
        since=entry.created_at,  # Kubeflow's ``updated_at`` is that of each fire, too
    )
