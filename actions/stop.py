"""Stop everything that serves."""

from __future__ import annotations

from actions.result import ActionResult
from steps.deployment.deployer import active_deployer


def stop() -> ActionResult:
    """Stop every service of the active stack's deployer and its ingress; nothing is left running."""
    stopped = active_deployer().stop()
    return ActionResult(
        action="stop",
        status="done",
        reasons=tuple(stopped) or ("Nothing was serving.",),
        details={"stopped": len(stopped), "services": stopped},
    )
