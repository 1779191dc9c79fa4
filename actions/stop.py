"""Stop everything that serves."""

from __future__ import annotations

from contextlib import suppress
from typing import get_args

from zenml.client import Client

from actions.result import ActionResult
from materializers.errors import ShutterlineError
from materializers.release import Environment
from steps.deployment.deployer import active_deployer
from steps.deployment.rollout import log_end, log_lost_end, rollouts
from steps.deployment.schedule import stop_looking


def stop(model_name: str, *, by: str, reason: str) -> ActionResult:
    """Stop every service of the active stack's deployer and its ingress; nothing is left running.

    What was rolling out is over, too, and nothing looks at it any more. Where a damaged record hides what
    was, that goes for the configured model; a look at another one finds nothing, and removes its schedule.

    Args:
        model_name: the configured registered model.
        by: who asks for it; empty: the account that is logged in.
        reason: why; may be empty.

    Raises:
        ServiceUnreachable: what is live cannot be changed.
    """
    try:
        rolling = rollouts()
    except ShutterlineError:  # to stop is what mends a damaged record; who cannot be reached is told there
        rolling = None
    stopped = active_deployer().stop()
    who, why = by or Client().active_user.name, reason or "all that served was stopped"
    for release in rolling or ():
        stop_looking(release.model_name, release.environment)
        with suppress(ShutterlineError):  # what was stopped is told and logged below; the next look logs this
            log_end(release, why, by=who)
    for environment in get_args(Environment) if rolling is None else ():
        stop_looking(model_name, environment)
        with suppress(ShutterlineError):
            log_lost_end(model_name, environment, why, by=who)
    return ActionResult(
        action="stop",
        status="done",
        reasons=tuple(stopped) or ("Nothing was serving.",),
        details={"stopped": len(stopped), "services": stopped},
    )
