"""Let retrainings begin again, by a person who looked at why the last ones came to nothing."""

from __future__ import annotations

from zenml.client import Client

from actions.result import ActionResult
from materializers.errors import UsageError
from materializers.evidence import read_versions
from pipelines.config import Config
from steps.deployment.deployer import active_deployer
from steps.monitoring.triggers.brake import brake_hold, in_vain, last_release
from steps.registry.approvers import require_approver


def release_brake(config: Config, *, by: str) -> ActionResult:
    """Begin the count of retrainings that were refused or no better anew; nothing is trained.

    Args:
        config: names the model, and says who may.
        by: the person's name as it was given.

    Raises:
        UsageError: nothing is braked.
        Refused: the account that is logged in may not.
        ServiceUnreachable: registry or audit log cannot be read.
    """
    name = config.product.model
    require_approver(config.approval, Client().active_user.name)
    versions = read_versions(name)
    row = in_vain(versions, last_release(name, active_deployer().trusted_keys()))
    hold = brake_hold(row, config.trigger.brake_after)
    if not hold.holds:
        raise UsageError(f"The brake of {name} does not hold: {hold.reason}")
    return ActionResult(
        action="release-brake",
        status="done",
        reasons=(f"The brake of {name} was released by {by}: the next run of --continuous may retrain.",),
        details={"version": versions[0].version, "row": [version.version for version in reversed(row)]},
    )
