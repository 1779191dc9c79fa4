"""A candidate that does not answer, or may not be served any more, goes before anything is counted."""

from __future__ import annotations

import pytest

from steps.deployment.observe import judge_service, observe_rollout
from steps.deployment.rollout import log_end
from steps.deployment.settings import DeploymentSettings
from tests.materializers.examples import release
from tests.steps.deployment.held import HeldDeployer


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is wrong with the evidence; tests/whole/test_rollouts.py looks at that."""
    monkeypatch.setattr("steps.deployment.observe.forbidden", lambda rolling: None)


@pytest.mark.usefixtures("allowed")
def test_a_candidate_that_does_not_answer_is_rolled_back(held: HeldDeployer) -> None:
    """Dead or altered: whatever was counted of it."""
    held.answers = False
    assert held.rolling is not None
    observed = observe_rollout(held.rolling, DeploymentSettings())
    assert observed.answer == "roll back"
    assert "Version 3 does not answer a picture as that version, unaltered" in observed.reasons[0]


def test_a_candidate_that_the_registry_does_not_know_is_rolled_back(held: HeldDeployer) -> None:
    """Its records are gone, and with them what allowed it to be served."""
    assert held.rolling is not None
    observed = observe_rollout(held.rolling, DeploymentSettings())
    assert observed.answer == "roll back"
    assert "knows no version 3" in observed.reasons[0]


@pytest.mark.usefixtures("allowed")
def test_what_was_to_be_rolled_back_before_still_is(held: HeldDeployer) -> None:
    """Whoever logged it was killed before the candidate went: the reason of then is told."""
    assert held.rolling is not None
    log_end(held.rolling, "It errs.", by="a pipeline")
    observed = observe_rollout(held.rolling, DeploymentSettings())
    assert (observed.answer, observed.reasons) == ("roll back", ("It errs.",))


@pytest.mark.parametrize("status", ["refused", "rolled_back", "proposed"])
def test_what_is_not_live_is_not_asked(held: HeldDeployer, status: str) -> None:
    """There is nothing that could answer."""
    assert judge_service(release(status=status)) == "nothing to observe"
