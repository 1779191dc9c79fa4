"""A version that passed and that nobody decided on is told after a day, and that it was decided."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from mlflow import MlflowClient

from materializers import evidence
from materializers.evidence import DECISION, RegisteredVersion, was_live_tag
from steps.monitoring.alerts.waiting import look_for_waiting_approvals, waiting_version
from tests.stacks.apprise_alerter.webhook import stack_with_alerter, webhook_server

if TYPE_CHECKING:
    from zenml.client import Client

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def version(number: int = 3, *, aliases: tuple[str, ...] = (), **tags: str) -> RegisteredVersion:
    """One that was registered at noon."""
    known = {"verdict": "passed", **tags}
    return RegisteredVersion(model_name="shop", version=number, created=NOON, aliases=aliases, tags=known)


def decided(tag: str, value: str) -> RegisteredVersion:
    """The same, with a tag of what became of it."""
    return version().model_copy(update={"tags": {"verdict": "passed", tag: value}})


def test_the_newest_version_that_passed_since_productions_waits() -> None:
    """Whatever alias it has; one that the gate refused since is not in its way."""
    champion = version(2, aliases=("champion",))
    assert waiting_version([]) is None
    assert waiting_version([version(1)]) == version(1)
    assert waiting_version([version(5, verdict="refused"), version(4), version(3), champion]) == version(4)


@pytest.mark.parametrize(
    "versions",
    [
        [version(verdict="refused")],
        [decided(DECISION, "approved by Ada: good")],
        [decided(DECISION, "rejected by Ada: bad"), version(2)],
        [decided(was_live_tag("production"), "yes")],
        [version(aliases=("champion",)), version(2, aliases=("challenger",))],
    ],
    ids=["refused", "approved", "an older one than was rejected", "was live", "older than production's"],
)
def test_no_other_version_waits(versions: list[RegisteredVersion]) -> None:
    """Nobody has to do anything about it."""
    assert waiting_version(versions) is None


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A registered model of an MLflow of this test, whose version 1 passed."""
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setattr(evidence, "registry_client", lambda: client)
    name = f"model-{uuid4().hex[:8]}"
    client.create_registered_model(name)
    client.create_model_version(name, source="store/model", tags={"identity": "one", "verdict": "passed"})
    return name


def decide(name: str) -> None:
    """Approve version 1."""
    evidence.registry_client().set_model_version_tag(name, "1", DECISION, "approved by Ada: good")


def test_who_waits_long_is_told_with_the_command(zenml_client: Client, model: str) -> None:
    """Once, and once more when somebody decided; sooner where the alerter says so."""
    now = datetime.now(UTC)
    with webhook_server() as hook, stack_with_alerter(zenml_client, hook.url, approval_hours=2):
        assert look_for_waiting_approvals(model, now=now + timedelta(hours=1.9)) is None
        for hours in (2.1, 2.2):
            assert look_for_waiting_approvals(model, now=now + timedelta(hours=hours)) == 1
        head, why, what = hook.messages[0].splitlines()
        assert head == f"approval_waiting (info): {model}, version 1"
        assert why.startswith("Version 1 passed its gate, was registered on ")
        assert what.startswith(f"python run.py --set product.model={model} --approve 1 --by WHO")
        decide(model)
        assert look_for_waiting_approvals(model, now=now + timedelta(hours=3)) is None
        assert [message.splitlines()[0] for message in hook.messages[1:]] == [
            f"approval_waiting is over: {model}, version 1"
        ]


@pytest.mark.usefixtures("own_stack")
def test_without_a_registry_nothing_waits() -> None:
    """Whoever needs one is told so by what needs it."""
    assert look_for_waiting_approvals("shop", now=NOON) is None
