"""Deployment: from a registered version to live traffic in one environment."""

from __future__ import annotations

from zenml import pipeline

from materializers.release import Environment
from steps.data.class_changes import ClassChanges
from steps.deployment.candidate import candidate
from steps.deployment.conclude import conclude
from steps.deployment.observe import observe
from steps.deployment.release import release
from steps.deployment.settings import DeploymentSettings
from steps.evaluation.cost.settings import CostSettings
from steps.evaluation.policy import Policy
from steps.registry.approvers import ApprovalSettings
from steps.registry.presupposed import Presupposed


@pipeline(name="deployment")
def deployment(
    model_name: str,
    environment: Environment,
    settings: DeploymentSettings,
    policy: Policy,
    presupposed: Presupposed,
    cost: CostSettings,
    class_changes: ClassChanges,
    approval: ApprovalSettings,
    version: int | None,
    only_look: bool,
) -> None:
    """Propose, release, observe, conclude; to ``only_look``, observe what is rolling out and conclude."""
    proposal = candidate(
        model_name=model_name,
        environment=environment,
        settings=settings,
        policy_digest=policy.digest,
        presupposed=presupposed,
        approval=approval,
        version=version,
        only_look=only_look,
    )
    applied = release(proposal)
    observation, why, _, _, comparison, _, _ = observe(
        applied,
        policy=policy,
        presupposed=presupposed,
        approval=approval,
        cost=cost,
        settings=settings,
        class_changes=class_changes,
    )
    conclude(
        applied,
        observation,
        why,
        comparison,
        model_name=model_name,
        environment=environment,
        settings=settings,
    )
