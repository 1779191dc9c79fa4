"""A delivery that did not come on time is told to people, once while it lasts, without secrets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from materializers.data_report import Check
from steps.data.checks.freshness import check_delivery_interval
from steps.data.checks.limits import CheckLimit
from steps.monitoring.alerts.late_delivery import tell_late_delivery
from tests.stacks.apprise_alerter.webhook import Webhook
from tests.steps.monitoring.conftest import PLANTED

pytestmark = pytest.mark.usefixtures("log")
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


def interval(hours: float, severity: str = "warn") -> Check:
    """The check of a delivery that is expected every day, so many hours after the last one."""
    bound = CheckLimit.model_validate({"limit": 24, "severity": severity})
    return check_delivery_interval(NOW - timedelta(hours=hours), bound, now=NOW)


OTHER = Check(name="data_age", outcome="refused", measured=400, limit=365, reason="The data are old.")


@pytest.fixture
def model() -> str:
    """A model that no other test has."""
    return f"model-{uuid4().hex[:8]}"


def told(log: pytest.LogCaptureFixture) -> list[str]:
    """What the project itself logged."""
    return [record.getMessage() for record in log.records if record.name == "shutterline"]


@pytest.mark.parametrize("severity", ["warn", "refuse"])
def test_a_late_delivery_is_an_alarm(hook: Webhook, model: str, severity: str) -> None:
    """Whether it refuses or warns: who delivers, since when nothing came, and what to do."""
    tell_late_delivery([OTHER, interval(49, severity)], model, "shop-photographs")
    assert [message.splitlines() for message in hook.messages] == [
        [
            f"delivery_missing (warning): {model}, deliveries of shop-photographs",
            "The last new delivery came on 2026-11-26 11:00 UTC, 49 hours ago; one is expected every 24 "
            "hours. Ask the supplier where the next one is, or change "
            "validate.freshness.delivery_interval.limit.",
        ]
    ]


def test_it_is_told_once_and_once_more_when_a_delivery_came(hook: Webhook, model: str) -> None:
    """However many runs find it late."""
    for hours in (49, 50, 51):
        tell_late_delivery([interval(hours)], model, "shop")
    assert len(hook.messages) == 1
    for _ in range(2):
        tell_late_delivery([interval(1)], model, "shop")
    assert len(hook.messages) == 2
    assert hook.messages[1].startswith(f"delivery_missing is over: {model}, deliveries of shop\n")


@pytest.mark.parametrize("checks", [[], [interval(24)], [OTHER]])
def test_a_delivery_on_time_is_told_to_nobody(
    hook: Webhook, log: pytest.LogCaptureFixture, model: str, checks: list[Check]
) -> None:
    """Nor is anything else that a check found: that is in the report."""
    tell_late_delivery(checks, model, "shop")
    assert (hook.messages, told(log)) == ([], [])


def test_what_was_told_is_not_in_the_log_as_well(
    hook: Webhook, log: pytest.LogCaptureFixture, model: str
) -> None:
    """One place is enough."""
    tell_late_delivery([interval(49)], model, "shop")
    assert (len(hook.messages), told(log)) == (1, [])


@pytest.mark.usefixtures("own_stack")
def test_without_an_alerter_it_is_in_the_log(log: pytest.LogCaptureFixture, model: str) -> None:
    """In one line."""
    tell_late_delivery([interval(49)], model, "shop")
    [line] = told(log)
    assert line.startswith(f"delivery_missing (warning): {model}, deliveries of shop The last new delivery")


def test_an_alerter_that_breaks_does_not_stop_the_run(
    hook: Webhook, log: pytest.LogCaptureFixture, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line of the log says what it raised, redacted, and one what it was to tell."""

    def broken(*_: object, **__: object) -> bool:
        raise RuntimeError(f"no memory for {PLANTED}")

    monkeypatch.setattr("stacks.apprise_alerter.alerter.AppriseAlerter.deliver", broken)
    tell_late_delivery([interval(49)], model, "shop")
    failed, said = told(log)
    assert failed == "The alerter failed: RuntimeError: no memory for ***"
    assert said.startswith("Not told yet: delivery_missing")


def test_a_message_that_no_target_takes_is_in_the_log(
    hook: Webhook, log: pytest.LogCaptureFixture, model: str
) -> None:
    """Nobody reads it elsewhere, for now."""
    hook.status = 500
    tell_late_delivery([interval(49)], model, "shop")
    assert hook.messages == []
    assert any("deliveries of shop" in line for line in told(log))
