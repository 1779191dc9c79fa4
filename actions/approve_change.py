"""Approve a change of architecture, source or policy before it is trained."""

from __future__ import annotations

from datetime import UTC, datetime

from zenml import save_artifact
from zenml.client import Client

from actions.result import ActionResult
from materializers.approval import Approval
from materializers.errors import UsageError
from materializers.evidence import registry_client, registry_errors
from materializers.signatures import Signer
from pipelines.config import Config
from steps.registry.approvers import require_approver
from steps.registry.change import APPROVED_CHANGE_TAG, change_artifact

SHORTEST_DIGEST = 8


def approve_change(config: Config, *, digest: str, by: str, reason: str) -> ActionResult:
    """Record the approval of exactly the change that this configuration would make.

    Raises:
        UsageError: ``digest`` is not the one of that change.
        Refused: the account that is logged in may not approve.
        ServiceUnreachable: the registry cannot be written.
    """
    name, actor = config.product.model, Client().active_user.name
    change = config.change
    if len(digest) < SHORTEST_DIGEST or not change.digest.startswith(digest):
        raise UsageError(
            f"This configuration would make change {change.digest[:16]} (architecture {change.architecture}, "
            f"source {change.source_name}), not {digest!r}: give the --config and --set of the run."
        )
    require_approver(config.approval, actor)
    approval = Approval(
        decision="approved",
        model_name=name,
        change=change,
        policy_digest=change.policy,
        actor=actor,
        by=by,
        reason=reason,
        at=datetime.now(UTC),
    ).signed_by(Signer.from_environment(actor))
    save_artifact(approval, name=change_artifact(name))
    with registry_errors("record the approval of a change"):
        registry_client().set_registered_model_tag(
            name, APPROVED_CHANGE_TAG + change.digest[:16], approval.digest
        )
    return ActionResult(
        action="approve-change",
        status="done",
        reasons=(f"Change {change.digest[:16]} was approved by {by}. The same command now trains.",),
        details={"change": change.digest, "by": by, "actor": actor, "approval": approval.digest},
    )
