"""Bring a version that passed to staging in one step, for runs that nobody watches."""

from __future__ import annotations

from typing import Annotated

from zenml import step

from materializers.end_to_end import EndToEnd
from materializers.load_test import LoadTest
from materializers.release import Release
from materializers.trigger_decision import TriggerDecision
from materializers.verdict import Verdict
from steps.data.class_changes import ClassChanges
from steps.deployment.candidate import propose_release
from steps.deployment.conclude import conclude_any
from steps.deployment.observe import observe_release
from steps.deployment.release import carry_out
from steps.deployment.settings import DeploymentSettings
from steps.evaluation.cost.settings import CostSettings
from steps.evaluation.policy import Policy
from steps.registry.approvers import ApprovalSettings
from steps.registry.presupposed import Presupposed


@step(enable_cache=False)
def staging(
    version: int | None,
    verdict: Verdict | None,
    decision: TriggerDecision | None,
    model_name: str,
    policy: Policy,
    presupposed: Presupposed,
    cost: CostSettings,
    settings: DeploymentSettings,
    class_changes: ClassChanges,
) -> tuple[
    Annotated[Release | None, "release"],
    Annotated[LoadTest | None, "load_test"],
    Annotated[EndToEnd | None, "end_to_end"],
]:
    """Release the version just trained, or the one that an interrupted run left, to staging.

    Nothing is released on a verdict that is not this run's own: a version may have passed before.
    """
    if verdict is not None and verdict.outcome != "passed":
        return None, None, None
    wanted = version if version is not None else (decision.finish_version if decision else None)
    if wanted is None:
        return None, None, None
    approval = ApprovalSettings()  # staging asks for none
    proposal = propose_release(
        model_name,
        "staging",
        version=wanted,
        policy_digest=policy.digest,
        presupposed=presupposed,
        approval=approval,
        settings=settings,
    )
    applied = carry_out(proposal)
    observed = observe_release(
        applied,
        policy=policy,
        presupposed=presupposed,
        approval=approval,
        cost=cost,
        settings=settings,
        changes=class_changes,
    )
    release = conclude_any(
        applied,
        observed.answer,
        observed.reasons,
        model_name=model_name,
        environment="staging",
        settings=settings,
    )
    return release, observed.load_test, observed.end_to_end
