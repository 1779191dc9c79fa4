"""A training run that differs in kind from the live production champion waits for a person.

Architecture, source name and policy are compared before the run; data and code are not a change of kind.
"""

from __future__ import annotations

from zenml.client import Client

from materializers.approval import Approval, Change
from materializers.evidence import registry_client, registry_errors, version_with_alias
from pipelines.config import Config
from steps.registry.register import CHAMPION

APPROVED_CHANGE_TAG = "approved_change_"


def change_artifact(model_name: str) -> str:
    """The name of the artifact that holds the approved changes of a model."""
    return f"{model_name}-change-approval"


def intended_change(config: Config) -> Change:
    """What this configuration would train."""
    return Change(
        architecture=config.train.architecture,
        source_name=config.product.source.name,
        policy=config.policy.digest,
    )


def unapproved_change(config: Config) -> str | None:
    """Why this configuration may not be trained yet; None when it may.

    Raises:
        ServiceUnreachable: the registry cannot be read.
    """
    name = config.product.model
    champion = version_with_alias(name, CHAMPION)
    if champion is None:
        return None
    live = Change(
        architecture=champion.tag("architecture"),
        source_name=champion.tag("source_name"),
        policy=champion.tag("policy_digest"),
    )
    change = intended_change(config)
    if change == live or is_approved(name, change):
        return None
    differences = [
        f"{field} {getattr(live, field)[:24]} → {getattr(change, field)[:24]}"
        for field in Change.model_fields
        if getattr(live, field) != getattr(change, field)
    ]
    return (
        f"This run would change {'; '.join(differences)} against production's version {champion.version}, "
        f"and nobody approved that: "
        f'python run.py --approve-change {change.digest[:16]} --by WHO --reason "…"'
    )


def is_approved(model_name: str, change: Change) -> bool:
    """Whether the last decision on exactly this change, unaltered since, is an approval."""
    name = change_artifact(model_name)
    found = Client().list_artifact_versions(artifact=name, sort_by="desc:created", size=100)
    with registry_errors(f"read the approved changes of {model_name}"):
        tags = registry_client().get_registered_model(model_name).tags
    recorded = tags.get(APPROVED_CHANGE_TAG + change.digest[:16])
    for artifact in found.items:
        approval: Approval = artifact.load()
        if approval.change == change:
            return approval.decision == "approved" and approval.digest == recorded
    return False
