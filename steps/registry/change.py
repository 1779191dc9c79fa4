"""A training run that differs in kind from the live production champion waits for a person.

Architecture, source name and policy are compared before the run, and again by the steps of a run, which may
have been scheduled long ago; data and code are not a change of kind.
"""

from __future__ import annotations

from zenml.client import Client

from materializers.approval import Approval, Change
from materializers.audit_log import has_entry
from materializers.errors import Refused
from materializers.evidence import registry_client, registry_errors, version_with_alias
from steps.deployment.deployer import active_deployer
from steps.registry.aliases import CHAMPION
from steps.registry.approvers import ApprovalSettings, require_approver

APPROVED_CHANGE_TAG = "approved_change_"


def change_artifact(model_name: str) -> str:
    """The name of the artifact that holds the approved changes of a model."""
    return f"{model_name}-change-approval"


def unapproved_change(model_name: str, change: Change, approval: ApprovalSettings) -> str | None:
    """Why a model of this kind may not be trained yet; None when it may.

    Args:
        model_name: the registered model.
        change: what would be trained.
        approval: who may approve that.

    Raises:
        ServiceUnreachable: the registry cannot be read.
    """
    champion = version_with_alias(model_name, CHAMPION)
    if champion is None:
        return None
    live = Change(
        architecture=champion.tag("architecture"),
        source_name=champion.tag("source_name"),
        policy=champion.tag("policy_digest"),
        # A version of before this was recorded has whatever is configured now.
        compliance=champion.tags.get("compliance_digest", change.compliance),
    )
    if change == live or is_approved(model_name, change, approval):
        return None
    differences = [
        f"{field} {str(getattr(live, field))[:24]} → {str(getattr(change, field))[:24]}"
        for field in Change.model_fields
        if getattr(live, field) != getattr(change, field)
    ]
    return (
        f"This run would change {'; '.join(differences)} against production's version {champion.version}, "
        f"and nobody approved that: "
        f'python run.py --approve-change {change.digest[:16]} --by WHO --reason "…"'
    )


def require_approved(model_name: str, change: Change, approval: ApprovalSettings) -> None:
    """Refuse what :func:`unapproved_change` finds.

    Raises:
        Refused: nobody approved it.
        ServiceUnreachable: the registry cannot be read.
    """
    refusal = unapproved_change(model_name, change, approval)
    if refusal is not None:
        raise Refused(refusal)


def is_approved(model_name: str, change: Change, approval: ApprovalSettings) -> bool:
    """Whether the last decision on exactly this change, unaltered since and in the audit log, is an approval.

    Raises:
        Refused: it is not signed by the account that it names, or that account may not approve.
        ServiceUnreachable: the registry cannot be read.
    """
    name = change_artifact(model_name)
    found = Client().list_artifact_versions(artifact=name, sort_by="desc:created", size=100)
    with registry_errors(f"read the approved changes of {model_name}"):
        tags = registry_client().get_registered_model(model_name).tags
    recorded = tags.get(APPROVED_CHANGE_TAG + change.digest[:16])
    for artifact in found.items:
        decision: Approval = artifact.load()
        if decision.change == change and decision.model_name == model_name:
            trusted = active_deployer().trusted_keys()
            decision.verify_signature(trusted)
            require_approver(approval, decision.actor)
            logged = has_entry("approve-change", decision.logged_subject, trusted)
            return decision.decision == "approved" and decision.digest == recorded and logged
    return False
