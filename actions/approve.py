"""Approve or reject one version, by a person, on exactly the evidence that is there now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from zenml import save_artifact
from zenml.client import Client

from actions.result import ActionResult
from materializers.approval import Approval
from materializers.evidence import DECISION, read_version, registry_client, registry_errors, verify_evidence
from materializers.present_model import present_model
from materializers.signatures import Signer
from pipelines.config import Config
from serving.model_directory import model_digest
from steps.deployment.candidate import approval_artifact, gather_arm
from steps.deployment.deployer import active_deployer
from steps.deployment.rollout import rollouts
from steps.registry.approvers import require_approver, require_other_than_trainer
from steps.registry.decisions import require_gated
from steps.registry.model_card import keep_card, last_card, send_card
from steps.registry.presupposed import require_same_presupposed

Decision = Literal["approved", "rejected"]


def decide_version(config: Config, *, version: int, decision: Decision, by: str, reason: str) -> ActionResult:
    """Write an :class:`Approval` for this model, report and policy; it moves nothing.

    Raises:
        Refused: an approval was asked for a version that its own evidence does not allow, or by an account
            that may not give it.
        UsageError: there is no such version.
        ServiceUnreachable: the registry cannot be read or written.
    """
    name = config.product.model
    entry, actor = read_version(name, version), Client().active_user.name
    if decision == "approved":
        arm = gather_arm(entry, policy_digest=config.policy.digest)
        trusted = active_deployer().trusted_keys()
        require_approver(config.approval, actor)
        require_other_than_trainer(config.approval, actor, entry)
        with present_model(arm.model_uri, model_digest) as model:
            verify_evidence(arm, model_name=name, model=model, trusted=trusted)
        judged = require_gated(name, arm, trusted)
        require_same_presupposed(judged, config.presupposed, version=version, environment="production")
    # A rejection needs no evidence in order, only a name for what is rejected.
    approval = Approval(
        decision=decision,
        model_name=name,
        version=version,
        model_digest=entry.tag("model_digest"),
        report_digest=entry.tag("report_digest"),
        policy_digest=entry.tag("policy_digest"),
        actor=actor,
        by=by,
        reason=reason,
        at=datetime.now(UTC),
    ).signed_by(Signer.from_environment(actor))
    save_artifact(approval, name=approval_artifact(name, version))
    with registry_errors(f"record what was decided on version {version}"):
        client = registry_client()
        # First what everyone obeys: a rejection counts, an approval does not, if nothing follows.
        client.set_model_version_tag(name, str(version), DECISION, f"{decision} by {by}: {reason}")
        client.set_model_version_tag(name, str(version), "approval_digest", approval.digest)
    card = last_card(name, version)
    if card is not None:
        card = card.with_decision(approval)
        keep_card(card)
        if "mlflow_run" in entry.tags:
            send_card(card, entry.tag("mlflow_run"))
    said = f"Version {version} of {name} was {decision} by {by}. What is served is unchanged."
    return ActionResult(
        action="approve" if decision == "approved" else "reject",
        status="done",
        reasons=(said, *(_still_rolling_out(name, version) if decision == "rejected" else ())),
        details={"version": version, "by": by, "actor": approval.actor, "approval": approval.digest},
    )


def _still_rolling_out(model_name: str, version: int) -> list[str]:
    """Where a version that was rejected serves beside the champion, and for how long still."""
    return [
        f"It is rolling out in {rolling.environment}: the next look takes it out. At once: "
        f"python run.py --rollback --environment {rolling.environment}"
        for rolling in rollouts()
        if rolling.model_name == model_name and rolling.candidate and rolling.candidate.version == version
    ]
