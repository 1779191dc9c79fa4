"""Keep a pipeline with a schedule on the active stack, which then fires it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from zenml.client import Client
from zenml.config.schedule import Schedule

from materializers.schedule import COMMAND_KEY, SCHEDULE_KEY, TERMS_KEY, Terms, check_cron
from pipelines.results import PipelineResult
from steps.orchestrator import active_orchestrator


class Repetition(Terms):
    """When a pipeline is to run again and again, and how it is fired."""

    cron: str
    command: tuple[str, ...]
    """The arguments of run.py that start it once, without ``--stack``."""
    name: str | None = None
    """Of the schedule; None: the one that a pipeline has for a model."""

    @property
    def terms(self) -> Terms:
        """What is kept beside name, command and cron expression."""
        return Terms(**{name: getattr(self, name) for name in Terms.model_fields})


def schedule_name(pipeline: str, model: str) -> str:
    """The name of the one schedule that a pipeline has for a model."""
    return f"{pipeline}-{model}"


def keep_schedule(
    pipeline: Any, arguments: dict[str, Any], *, model: str, repetition: Repetition
) -> PipelineResult:
    """Write a schedule down, in the place of the one that has its name.

    Args:
        pipeline: the ZenML pipeline with all its options.
        arguments: the pipeline's own; ``environment``, where it has one, is kept with the schedule.
        model: the registered model that it is about.
        repetition: when, and what.

    Raises:
        UsageError: the cron expression is none, or the stack keeps no schedules, or none like this.
    """
    terms = repetition.terms.model_copy(update={"environment": arguments.get("environment")})
    check_cron(repetition.cron, repetition.time_zone)
    active_orchestrator().check_terms(terms)
    name = repetition.name or schedule_name(pipeline.name, model)
    # ZenML takes a name once: under its own the new one stands beside the old one until it is in its place.
    registered = f"{name}-{uuid4().hex[:8]}"
    kept = pipeline.with_options(
        run_name=f"{pipeline.name}-{{date}}-{{time}}",
        schedule=Schedule(name=registered, cron_expression=repetition.cron),
        extra={
            COMMAND_KEY: list(repetition.command),
            SCHEDULE_KEY: name,
            TERMS_KEY: terms.model_dump(mode="json"),
        },
    )
    try:
        kept(**arguments)
    except BaseException as error:
        _withdraw(registered)
        if isinstance(error, Exception):
            return PipelineResult.of_exception(pipeline.name, error)
        raise
    return PipelineResult(pipeline=pipeline.name, run=None, status="completed")


def _withdraw(registered: str) -> None:
    """Take a schedule that came to nothing out of ZenML's list."""
    client = Client()
    for found in client.list_schedules(name=registered):
        client.zen_store.delete_schedule(found.id, soft=False)
