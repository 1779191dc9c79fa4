"""The schedule that looks at what is rolling out again and again, until that has ended."""

from __future__ import annotations

import logging

from materializers.errors import ShutterlineError
from materializers.release import Environment
from materializers.schedule import Schedule
from steps.orchestrator import find_orchestrator

logger = logging.getLogger("shutterline")


def look_name(model_name: str, environment: Environment) -> str:
    """The name of the one schedule that looks at what a model has rolling out in an environment."""
    return f"observe-{environment}-{model_name}"


def find_look(model_name: str, environment: Environment) -> Schedule | None:
    """That schedule; None where there is none, or where the stack keeps none.

    Raises:
        ServiceUnreachable: the schedules cannot be read.
    """
    orchestrator, name = find_orchestrator(), look_name(model_name, environment)
    if orchestrator is None:
        return None
    return next((schedule for schedule in orchestrator.schedules() if schedule.name == name), None)


def stop_looking(model_name: str, environment: Environment) -> None:
    """Remove that schedule, where there is one; where it cannot be, say so: the next look tries again."""
    orchestrator, name = find_orchestrator(), look_name(model_name, environment)
    try:
        if orchestrator is not None and find_look(model_name, environment) is not None:
            orchestrator.remove(name)
    except ShutterlineError as error:
        logger.warning(
            "Nothing is rolling out in %s any more, and its schedule could not be removed: %s. It finds "
            "nothing to do; remove it: python run.py --unschedule %s",
            environment,
            error,
            name,
        )
