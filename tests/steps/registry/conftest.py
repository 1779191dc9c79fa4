"""A stack with an audit log of its own."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from mlflow import MlflowClient
from zenml.client import Client
from zenml.enums import StackComponentType

from materializers import evidence
from materializers.signatures import ACTOR_KEY
from steps.registry import audit
from tests.keys import ACTOR


@pytest.fixture
def artifacts(zenml_client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a new stack's own artifact store, which is active; the account has a key."""
    name, folder = f"audited-{uuid4().hex[:8]}", tmp_path / "artifacts"
    folder.mkdir()
    store = StackComponentType.ARTIFACT_STORE
    zenml_client.create_stack_component(
        name=name, flavor="local", component_type=store, configuration={"path": str(folder)}
    )
    components: dict[StackComponentType, str] = {store: name, StackComponentType.ORCHESTRATOR: "default"}
    stack = zenml_client.create_stack(name, components=dict(components))
    monkeypatch.setenv("ZENML_ACTIVE_STACK_ID", str(stack.id))
    monkeypatch.setenv(ACTOR_KEY, ACTOR.key.pem)
    return folder


@pytest.fixture
def tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """A real MLflow of this test, which keeps the end of the log, and versions of models."""
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    for module in (audit, evidence):
        monkeypatch.setattr(module, "registry_client", lambda: client)
    return client
