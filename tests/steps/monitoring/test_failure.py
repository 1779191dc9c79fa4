"""A step that fails tells people once, after its last retry, without secrets and traceback."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from zenml import pipeline, step
from zenml.config.retry_config import StepRetryConfig

from materializers.carried_run import LostRun
from steps.monitoring import failure
from steps.monitoring.alert import LONGEST_REASON
from steps.monitoring.failure import is_settled, notify_failure, tell_of_lost_run, tell_once
from tests.stacks.apprise_alerter.webhook import Webhook
from tests.steps.monitoring.conftest import PLANTED

if TYPE_CHECKING:
    from zenml.alerter.base_alerter import BaseAlerter
    from zenml.client import Client
    from zenml.models import PipelineRunResponse

pytestmark = pytest.mark.usefixtures("log")
attempts: list[str] = []


@step(enable_cache=False, retry=StepRetryConfig(max_retries=1, delay=0, backoff=1))
def fails() -> None:
    """Fail with a message that holds secrets."""
    attempts.append("fails")
    raise ValueError(f"the bucket\nrefuses token={PLANTED} of https://ada:{PLANTED}@host, and {PLANTED}")


@step(enable_cache=False)
def interrupted() -> None:
    """As Ctrl+C does."""
    raise KeyboardInterrupt


@pipeline(on_failure=notify_failure)
def failing() -> None:
    """One step that fails."""
    fails()


@pipeline(on_failure=notify_failure)
def stopped() -> None:
    """One step that is interrupted."""
    interrupted()


def run_to_its_end(client: Client, what: object = failing) -> PipelineRunResponse:
    """The run that failed."""
    name = f"failing-{uuid4().hex[:8]}"
    with suppress(Exception, KeyboardInterrupt):
        what.with_options(run_name=name)()  # type: ignore[attr-defined]
    run = client.get_pipeline_run(name)
    assert str(run.status) == "failed"
    return run


def alerter_of(client: Client) -> BaseAlerter:
    """The active stack's."""
    found = client.active_stack.alerter
    assert found is not None
    return found


def a_lost_run() -> LostRun:
    """A run of a schedule that failed and that ZenML knows nothing of."""
    run_id = str(uuid4())
    return LostRun(id=run_id, name=f"training-scheduled-1-{run_id[:8]}", pipeline="training")


def told(log: pytest.LogCaptureFixture) -> list[str]:
    """What the project itself logged."""
    return [record.getMessage() for record in log.records if record.name == "shutterline"]


def test_a_failed_step_is_told_once_after_its_last_retry(zenml_client: Client, hook: Webhook) -> None:
    """Two attempts, one message: pipeline, run, step, exception and reason, where to look; no secret."""
    attempts.clear()
    run = run_to_its_end(zenml_client)
    assert len(attempts) == 2
    (message,) = hook.messages
    assert message.splitlines() == [
        f"run_failed (warning): pipeline failing failed: run {run.name}, step fails",
        "ValueError: the bucket refuses token=*** of https://***@host, and ***",
        "Look at it in the dashboard: make dashboard",
    ]
    assert PLANTED not in message
    assert "Traceback" not in message
    assert is_settled(run)


def test_a_run_that_was_told_is_never_told_again(zenml_client: Client, hook: Webhook) -> None:
    """Whoever finds it later, and however old the claim is."""
    run = run_to_its_end(zenml_client)
    alerter = alerter_of(zenml_client)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(failure, "CLAIM_LAPSES_AFTER", timedelta(0))
        assert not tell_once(alerter, run, step="fails", kind=None, reason="again")
    assert len(hook.messages) == 1


def test_a_run_whose_message_no_target_took_is_free_for_the_next(zenml_client: Client, hook: Webhook) -> None:
    """The claim is given back, so that the message is late and not lost."""
    hook.status = 500
    run = run_to_its_end(zenml_client)
    alerter = alerter_of(zenml_client)
    assert not is_settled(run)
    hook.status = 200
    assert tell_once(alerter, run, step="fails", kind=None, reason="again")
    assert len(hook.messages) == 1


def test_the_claim_of_a_killed_process_lapses(
    zenml_client: Client, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after claiming and before posting: nobody else posts at first, and one does later."""
    hook.status = 500
    run = run_to_its_end(zenml_client)
    hook.status = 200
    zenml_client.create_tag(f"notified-{run.id}")
    alerter = alerter_of(zenml_client)
    assert not tell_once(alerter, run, step=None, kind=None, reason="late")
    monkeypatch.setattr(failure, "CLAIM_LAPSES_AFTER", timedelta(0))
    assert tell_once(alerter, run, step=None, kind=None, reason="late")
    assert len(hook.messages) == 1


def test_an_interruption_is_told_to_nobody(zenml_client: Client, hook: Webhook) -> None:
    """Whoever pressed Ctrl+C knows; later finders leave it alone, too."""
    run = run_to_its_end(zenml_client, stopped)
    assert hook.messages == []
    assert is_settled(run)


@pytest.mark.usefixtures("own_stack")
def test_a_stack_without_alerter_tells_nobody(zenml_client: Client, log: pytest.LogCaptureFixture) -> None:
    """Nothing is posted, claimed or logged."""
    run = run_to_its_end(zenml_client)
    assert told(log) == []
    assert not zenml_client.list_tags(name=f"notified-{run.id}")


def test_an_alerter_that_breaks_does_not_hide_the_fault(
    zenml_client: Client, hook: Webhook, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run's exception is the step's own; one line of the log says what the alerter raised, redacted."""

    def broken(*_: object) -> bool:
        raise RuntimeError(f"no memory for {PLANTED}")

    monkeypatch.setattr("stacks.apprise_alerter.alerter.AppriseAlerter.post", broken)
    run = run_to_its_end(zenml_client)
    assert told(log) == ["The alerter failed: RuntimeError: no memory for ***"]
    info = run.steps["fails"].exception_info
    assert info is not None
    assert info.source == "builtins.ValueError"
    assert not is_settled(run)


def test_a_long_reason_is_cut(zenml_client: Client, hook: Webhook) -> None:
    """An exception may quote a whole page."""
    hook.status = 500
    run = run_to_its_end(zenml_client)
    hook.status = 200
    alerter = alerter_of(zenml_client)
    assert tell_once(alerter, run, step=None, kind="E", reason="page " * 1000)
    assert len(hook.messages[0]) < LONGEST_REASON + 200


def test_a_lost_run_is_told_once(
    zenml_client: Client, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its pipeline and its name at the orchestrator; never again, however old the claim is."""
    alerter, lost = alerter_of(zenml_client), a_lost_run()
    assert tell_of_lost_run(alerter, lost)
    assert not tell_of_lost_run(alerter, lost)
    monkeypatch.setattr(failure, "CLAIM_LAPSES_AFTER", timedelta(0))
    assert not tell_of_lost_run(alerter, lost)
    (message,) = hook.messages
    assert message.startswith(
        f"run_failed (warning): pipeline training failed: run {lost.name} of its schedule\n"
    )


def test_a_lost_run_whose_message_no_target_took_is_free_for_the_next(
    zenml_client: Client, hook: Webhook
) -> None:
    """Nothing says that it was told."""
    alerter, lost = alerter_of(zenml_client), a_lost_run()
    hook.status = 500
    assert not tell_of_lost_run(alerter, lost)
    hook.status = 200
    assert tell_of_lost_run(alerter, lost)
    assert len(hook.messages) == 1


def test_a_lost_run_is_told_although_its_teller_was_killed(
    zenml_client: Client, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after claiming and before posting: nobody else posts at first, and one does later, once."""
    alerter, lost = alerter_of(zenml_client), a_lost_run()
    zenml_client.create_tag(f"notified-{lost.id}")
    assert not tell_of_lost_run(alerter, lost)
    assert hook.messages == []
    monkeypatch.setattr(failure, "CLAIM_LAPSES_AFTER", timedelta(0))
    assert tell_of_lost_run(alerter, lost)
    assert not tell_of_lost_run(alerter, lost)
    assert len(hook.messages) == 1
