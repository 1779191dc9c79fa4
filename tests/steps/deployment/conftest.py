"""What is rolling out, for the steps that decide what becomes of it."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from tests.materializers.examples import NOON, arm, release
from tests.steps.deployment.held import HeldDeployer

if TYPE_CHECKING:
    from zenml.client import Client

NAMES = (f"rolled-out-{number}" for number in count())


@pytest.fixture
def signing(local_stack: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is logged is signed with the local stack's keys."""
    from steps.orchestrator import active_orchestrator

    for variable, path in active_orchestrator().signing_environment().items():
        monkeypatch.setenv(variable, path)


@pytest.fixture
def held(signing: None, monkeypatch: pytest.MonkeyPatch) -> HeldDeployer:
    """Version 3 is rolling out in production at 10 % beside version 2, under a name of this test's own."""
    from steps.deployment.deployer import active_deployer

    name = next(NAMES)
    known: dict[str, Any] = {"model_name": name, "environment": "production"}
    live = release(**known, candidate=arm(2), champion=None)
    rolling = release(
        **known,
        status="rolling_out",
        mode="canary",
        share=0.1,
        rollout=f"first-{name}",
        stage_since=NOON,
        recorded=False,
    )
    deployer = HeldDeployer(active_deployer().trusted_keys(), live, rolling)
    deployer.hold(monkeypatch)
    return deployer
