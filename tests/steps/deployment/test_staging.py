"""Tests of steps/deployment/staging.py: what a run that nobody watches releases."""

from __future__ import annotations

import pytest

from materializers.evidence import read_versions
from steps.data.class_changes import NO_CHANGES
from steps.deployment.deployer import active_deployer
from steps.deployment.settings import DeploymentSettings
from steps.deployment.staging import staging
from steps.evaluation.cost.settings import CostSettings
from steps.registry.presupposed import Presupposed
from steps.registry.register import register_version
from tests.materializers.examples import rule, verdict
from tests.steps.evaluation.policies import product_policy


@pytest.mark.usefixtures("local_stack")
@pytest.mark.parametrize(("measured", "outcome"), [(0.1, "refused"), (None, "not_assessed")])
def test_a_version_that_passed_before_is_not_released_by_a_run_whose_own_verdict_did_not(
    measured: float | None, outcome: str
) -> None:
    """It is not even proposed, and nothing becomes live."""
    name = f"staging-{outcome.replace('_', '-')}"
    passed = {"identity": "one", "verdict": "passed", "model_uri": "store/model", "zenml_run": "first"}
    version = register_version(name, passed).version
    before = read_versions(name)
    own = verdict(rule(measured), outcome=outcome)
    released = staging.entrypoint(
        version,
        own,
        None,
        model_name=name,
        policy=product_policy(),
        presupposed=Presupposed(declared="0" * 64, serving="1" * 64),
        cost=CostSettings(),
        settings=DeploymentSettings(),
        class_changes=NO_CHANGES,
    )
    assert released == (None, None, None)
    assert read_versions(name) == before
    assert active_deployer().current(name, "staging") is None
