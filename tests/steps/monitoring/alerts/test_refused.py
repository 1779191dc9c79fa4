"""A model that was refused while nobody watched is told with its reasons; the next that passes ends it."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Literal
from uuid import uuid4

import pytest

from materializers.evidence import RegisteredVersion
from steps.monitoring.alerts.alert import open_alerts
from steps.monitoring.alerts.refused import SCHEDULED, is_unattended, tell_of_verdict
from tests.materializers.examples import full_verdict, rule, verdict
from tests.stacks.apprise_alerter.webhook import Webhook


@pytest.fixture
def model() -> str:
    """A model that no other test has."""
    return f"model-{uuid4().hex[:8]}"


def version(model: str, number: int) -> RegisteredVersion:
    """A registered version."""
    now = datetime.now(UTC)
    return RegisteredVersion(model_name=model, version=number, created=now, aliases=(), tags={})


def test_a_refusal_names_version_and_reasons(hook: Webhook, model: str) -> None:
    """Each rule that refused, with its limit; what is live is said to be unchanged."""
    refused = verdict(rule(0.71, 0.85), rule(0.2, 0.1, rule="recall"), outcome="refused")
    tell_of_verdict(version(model, 4), refused, unattended=True)
    (message,) = hook.messages
    head, said, *reasons = message.splitlines()
    assert head == f"model_refused (warning): {model}, version 4"
    assert said == "Version 4 was refused by its gate; what is live is unchanged:"
    lineage = f"python run.py --set product.model={model} --lineage 4 says what it learnt from"
    assert reasons == ["accuracy: 0.71, limit >= 0.85", lineage]


def test_what_could_not_be_assessed_is_told_too(hook: Webhook, model: str) -> None:
    """It is no more released than what was refused."""
    tell_of_verdict(version(model, 4), verdict(rule(None), outcome="not_assessed"), unattended=True)
    assert "Version 4 could not be assessed" in hook.messages[0]


def test_the_next_version_that_passes_ends_all(hook: Webhook, model: str) -> None:
    """Also at somebody's terminal."""
    for number in (3, 4):
        tell_of_verdict(version(model, number), full_verdict("refused"), unattended=True)
    tell_of_verdict(version(model, 5), full_verdict(), unattended=False)
    assert len(hook.messages) == 3
    assert "Version 5 passed." in hook.messages[2]
    assert open_alerts(model).open == ()


def test_who_watches_is_told_nothing(hook: Webhook, model: str) -> None:
    """The terminal says it."""
    tell_of_verdict(version(model, 4), full_verdict("refused"), unattended=False)
    assert hook.messages == []


@pytest.mark.parametrize(
    ("origin", "schedule", "by_scheduler", "unattended"),
    [
        ("train", None, False, False),
        ("train", None, True, True),
        ("train", "nightly", False, True),
        ("continuous", None, False, True),
    ],
)
def test_nobody_watches_what_a_schedule_started(
    monkeypatch: pytest.MonkeyPatch,
    origin: Literal["train", "continuous"],
    schedule: str | None,
    by_scheduler: bool,
    unattended: bool,
) -> None:
    """Whether the orchestrator fires it or our scheduler does."""
    monkeypatch.delenv(SCHEDULED, raising=False)
    if by_scheduler:
        monkeypatch.setenv(SCHEDULED, "1")
    run = SimpleNamespace(schedule=schedule)
    assert is_unattended(origin, run) is unattended  # type: ignore[arg-type]
