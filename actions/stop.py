"""Stop everything that serves."""

from __future__ import annotations

from contextlib import suppress

from zenml.client import Client

from actions.result import ActionResult
from materializers.errors import ShutterlineError
from steps.deployment.deployer import active_deployer
from steps.deployment.rollout import log_end, rollouts
from steps.deployment.schedule import stop_looking


def stop(*, by: str, reason: str) -> ActionResult:
    """Stop every service of the active stack's deployer and its ingress; nothing is left running.

    What was rolling out is over, too, and nothing looks at it any more.

    Args:
        by: who asks for it; empty: the account that is logged in.
        reason: why; may be empty.
    """
    rolling = rollouts()
    stopped = active_deployer().stop()
    for release in rolling:
        stop_looking(release.model_name, release.environment)
        with suppress(ShutterlineError):  # what was stopped is told and logged below; the next look logs this
            log_end(release, reason or "all that served was stopped", by=by or Client().active_user.name)
    return ActionResult(
        action="stop",
        status="done",
        reasons=tuple(stopped) or ("Nothing was serving.",),
        details={"stopped": len(stopped), "services": stopped},
    )
