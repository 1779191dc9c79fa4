"""Deployment: from a registered version to live traffic in one environment."""

from __future__ import annotations

from zenml import pipeline

from materializers.release import Environment, Mode
from steps.deployment.candidate import candidate
from steps.deployment.conclude import conclude
from steps.deployment.observe import observe
from steps.deployment.release import release
from steps.evaluation.cost.settings import CostSettings
from steps.evaluation.policy import Policy
from steps.registry.approvers import ApprovalSettings
from steps.registry.presupposed import Presupposed


@pipeline(name="deployment")
def deployment(
    model_name: str,
    environment: Environment,
    mode: Mode,
    policy: Policy,
    presupposed: Presupposed,
    cost: CostSettings,
    approval: ApprovalSettings,
    version: int | None,
) -> None:
    """Propose, release, observe, conclude."""
    proposal = candidate(
        model_name=model_name,
        environment=environment,
        mode=mode,
        policy_digest=policy.digest,
        presupposed=presupposed,
        approval=approval,
        version=version,
    )
    applied = release(proposal)
    observation, _, refusal = observe(applied, policy=policy, cost=cost)
    conclude(applied, observation, refusal)
