"""A step that fails tells people once, after its last retry, without secrets and traceback."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from zenml import pipeline, step
from zenml.config.retry_config import StepRetryConfig

from materializers import alert_box
from materializers.carried_run import LostRun
from steps.monitoring.alerts import failure
from steps.monitoring.alerts.alert import LONGEST_REASON, open_alerts, tell_untold
from steps.monitoring.alerts.failure import (
    is_settled,
    look_for_recovery,
    notify_failure,
    report_failure,
    report_lost_run,
)
from steps.run_tags import model_tag
from tests.stacks.apprise_alerter.webhook import Webhook, stack_with_alerter, webhook_server
from tests.steps.monitoring.conftest import PLANTED

if TYPE_CHECKING:
    from zenml.client import Client
    from zenml.models import PipelineRunResponse

pytestmark = pytest.mark.usefixtures("log")
attempts: list[str] = []
faults: dict[str, str] = {}
"""How the next run of ``mended`` fails, by model; it does not where there is none."""


@step(enable_cache=False, retry=StepRetryConfig(max_retries=1, delay=0, backoff=1))
def fails() -> None:
    """Fail with a message that holds secrets."""
    attempts.append("fails")
    raise ValueError(f"the bucket\nrefuses token={PLANTED} of https://ada:{PLANTED}@host, and {PLANTED}")


@step(enable_cache=False)
def interrupted() -> None:
    """As Ctrl+C does."""
    raise KeyboardInterrupt


@step(enable_cache=False)
def may_fail(model: str) -> None:
    """Fail as was planted."""
    kind = faults.get(model)
    if kind is not None:
        raise {"ValueError": ValueError, "OSError": OSError}[kind]("so it is")


@pipeline(on_failure=notify_failure)
def mended(model: str) -> None:
    """One step that fails until it is mended."""
    may_fail(model)


@pipeline(on_failure=notify_failure)
def another(model: str) -> None:
    """The same step, of another pipeline."""
    may_fail(model)


@pipeline(on_failure=notify_failure)
def failing() -> None:
    """One step that fails."""
    fails()


@pipeline(on_failure=notify_failure)
def stopped() -> None:
    """One step that is interrupted."""
    interrupted()


@pytest.fixture
def model() -> str:
    """A model that no other test has."""
    return f"model-{uuid4().hex[:8]}"


def run_to_its_end(
    client: Client, of: str, what: object = failing, *, fails: bool = True, **arguments: str
) -> PipelineRunResponse:
    """The run on a model, which failed or did not."""
    name = f"failing-{uuid4().hex[:8]}"
    options = {"run_name": name, "tags": [model_tag(of)]}
    with suppress(Exception, KeyboardInterrupt):
        what.with_options(**options)(**arguments)  # type: ignore[attr-defined]
    run = client.get_pipeline_run(name)
    assert str(run.status) == ("failed" if fails else "completed")
    return run


def run_mended(client: Client, model: str, fault: str | None, what: object = mended) -> PipelineRunResponse:
    """A run of a pipeline that fails so, or ends well."""
    faults.pop(model, None)
    if fault is not None:
        faults[model] = fault
    return run_to_its_end(client, model, what, fails=fault is not None, model=model)


def heads(hook: Webhook) -> list[str]:
    """The first line of each message."""
    return [message.splitlines()[0] for message in hook.messages]


def a_lost_run() -> LostRun:
    """A run of a schedule that failed and that ZenML knows nothing of."""
    run_id = str(uuid4())
    return LostRun(id=run_id, name=f"training-scheduled-1-{run_id[:8]}", pipeline="training")


def told(log: pytest.LogCaptureFixture) -> list[str]:
    """What the project itself logged."""
    return [record.getMessage() for record in log.records if record.name == "shutterline"]


def test_a_failed_step_is_told_once_after_its_last_retry(
    zenml_client: Client, hook: Webhook, model: str
) -> None:
    """Two attempts, one message: pipeline, step, exception, run and reason, where to look; no secret."""
    attempts.clear()
    run = run_to_its_end(zenml_client, model)
    assert len(attempts) == 2
    (message,) = hook.messages
    assert message.splitlines() == [
        f"run_failed (warning): {model}, pipeline failing, step fails, ValueError",
        f"Run {run.name} failed",
        "ValueError: the bucket refuses token=*** of https://***@host, and ***",
        "Look at it in the dashboard: make dashboard",
    ]
    assert PLANTED not in message
    assert "Traceback" not in message
    assert is_settled(run)


def test_what_fails_each_time_is_told_once_and_once_when_it_runs_again(
    zenml_client: Client, hook: Webhook, model: str
) -> None:
    """A schedule that fails every five minutes is two messages; another way to fail, or pipeline, is told."""
    for fault in ("ValueError", "ValueError", "OSError", "ValueError"):
        assert is_settled(run_mended(zenml_client, model, fault))
    run_mended(zenml_client, model, "ValueError", another)
    about = f"{model}, pipeline mended, step may_fail"
    told = [f"run_failed (warning): {about}, {kind}" for kind in ("ValueError", "OSError")]
    told.append(f"run_failed (warning): {model}, pipeline another, step may_fail, ValueError")
    assert heads(hook) == told
    now = datetime.now(UTC)
    assert look_for_recovery(model, now=now) == []
    good = run_mended(zenml_client, model, None)
    assert look_for_recovery("another-model", now=now) == []
    assert look_for_recovery(model, now=now) == ["mended"]
    assert look_for_recovery(model, now=now) == []
    (over,) = hook.messages[3:]
    ended = f"{about}, ValueError; {about}, OSError"
    assert over.startswith(f"run_failed is over: {ended}\nRun {good.name} ended well.\n")
    assert [state.alert.subject for state in open_alerts(model).open] == [
        "pipeline another, step may_fail, ValueError"
    ]
    run_mended(zenml_client, model, "ValueError")
    assert look_for_recovery(model, now=now) == []
    assert heads(hook)[4:] == told[:1]


def test_a_failure_that_lasts_is_told_again_after_a_day(
    zenml_client: Client, hook: Webhook, model: str
) -> None:
    """As every alert that goes on."""
    runs = [run_mended(zenml_client, model, "ValueError") for _ in range(2)]
    for run, days in zip(runs, (0, 2), strict=True):
        tag = zenml_client.get_tag(f"notified-{run.id}", allow_name_prefix_match=False)
        zenml_client.zen_store.delete_tag(tag.id)
        now = datetime.now(UTC) + timedelta(days=days)
        assert report_failure(run, step="may_fail", kind="ValueError", reason="so", now=now)
    assert len(hook.messages) == 2


def test_quiet_hours_lose_no_failure(zenml_client: Client, model: str) -> None:
    """Each that is of its own is told in the morning, however many runs failed after it."""
    now = datetime.now(UTC)
    hours = f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(hours=2):%H:%M}"
    with webhook_server() as server, stack_with_alerter(zenml_client, server.url, quiet_hours=hours):
        run_mended(zenml_client, model, "OSError")
        for _ in range(2):
            run_mended(zenml_client, model, "ValueError")
        assert server.messages == []
        tell_untold(model, now=now + timedelta(hours=3))
        assert [line.rpartition(", ")[2] for line in heads(server)] == ["OSError", "ValueError"]


def test_a_target_that_was_down_is_told_of_the_failure_later(zenml_client: Client, model: str) -> None:
    """That the chat has it does not take it from the mail."""
    with (
        webhook_server() as chat,
        webhook_server() as mail,
        stack_with_alerter(zenml_client, f"{chat.url} {mail.url}"),
    ):
        mail.status = 500
        run_to_its_end(zenml_client, model)
        mail.status = 200
        tell_untold(model)
        assert (len(chat.messages), mail.messages) == (1, chat.messages)


def test_a_run_that_was_told_is_never_told_again(zenml_client: Client, hook: Webhook, model: str) -> None:
    """Whoever finds it later, and however old the claim is."""
    run = run_to_its_end(zenml_client, model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(failure, "CLAIM_LAPSES_AFTER", timedelta(0))
        assert not report_failure(run, step="other", kind=None, reason="again")
    assert len(hook.messages) == 1


def test_a_message_that_no_target_took_waits(zenml_client: Client, hook: Webhook, model: str) -> None:
    """It is late and not lost; nobody has to find the run anew."""
    hook.status = 500
    run = run_to_its_end(zenml_client, model)
    assert is_settled(run)
    hook.status = 200
    tell_untold(model)
    assert len(hook.messages) == 1


def test_a_run_that_could_neither_be_written_down_nor_told_is_free_for_the_next(
    zenml_client: Client, hook: Webhook, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The artifact store is gone, which may be why it failed, and so is the chat."""

    def unreachable(*_: object) -> None:
        raise OSError("no such bucket")

    hook.status = 500
    with monkeypatch.context() as patch:
        patch.setattr(alert_box, "write_blob", unreachable)
        run = run_to_its_end(zenml_client, model)
        assert not is_settled(run)
        hook.status = 200
        assert report_failure(run, step="fails", kind=None, reason="without the store")
    assert len(hook.messages) == 1


def test_the_claim_of_a_killed_process_lapses(
    zenml_client: Client, hook: Webhook, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after claiming and before it was written down: nobody else tells it at first, and one later."""
    with monkeypatch.context() as patch:
        patch.setattr(failure, "report_failure", lambda *_, **__: None)
        run = run_to_its_end(zenml_client, model)
    zenml_client.create_tag(f"notified-{run.id}")
    assert not report_failure(run, step=None, kind=None, reason="late")
    monkeypatch.setattr(failure, "CLAIM_LAPSES_AFTER", timedelta(0))
    assert report_failure(run, step=None, kind=None, reason="late")
    assert len(hook.messages) == 1


def test_an_interruption_is_told_to_nobody(zenml_client: Client, hook: Webhook, model: str) -> None:
    """Whoever pressed Ctrl+C knows; later finders leave it alone, too."""
    run = run_to_its_end(zenml_client, model, stopped)
    assert hook.messages == []
    assert is_settled(run)


@pytest.mark.usefixtures("own_stack")
def test_a_stack_without_alerter_tells_nobody(
    zenml_client: Client, log: pytest.LogCaptureFixture, model: str
) -> None:
    """Nothing is posted, claimed or logged."""
    run = run_to_its_end(zenml_client, model)
    assert told(log) == []
    assert not zenml_client.list_tags(name=f"notified-{run.id}")


def test_an_alerter_that_breaks_does_not_hide_the_fault(
    zenml_client: Client,
    hook: Webhook,
    log: pytest.LogCaptureFixture,
    model: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The run's exception is the step's own; the log says what the alerter raised, redacted."""

    def broken(*_: object, **__: object) -> bool:
        raise RuntimeError(f"no memory for {PLANTED}")

    with monkeypatch.context() as patch:
        patch.setattr("stacks.apprise_alerter.alerter.AppriseAlerter.deliver", broken)
        run = run_to_its_end(zenml_client, model)
    assert told(log)[0] == "The alerter failed: RuntimeError: no memory for ***"
    info = run.steps["fails"].exception_info
    assert info is not None
    assert info.source == "builtins.ValueError"
    tell_untold(model)
    assert len(hook.messages) == 1


def test_a_long_reason_is_cut(zenml_client: Client, hook: Webhook, model: str) -> None:
    """An exception may quote a whole page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(failure, "report_failure", lambda *_, **__: None)
        run = run_to_its_end(zenml_client, model)
    assert report_failure(run, step=None, kind="E", reason="page " * 1000)
    assert len(hook.messages[0]) < LONGEST_REASON + 300


def test_a_lost_run_is_told_once(
    zenml_client: Client, hook: Webhook, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its pipeline and its name at the orchestrator; never again, however old the claim is."""
    lost = a_lost_run()
    assert report_lost_run(lost, model)
    assert not report_lost_run(lost, model)
    monkeypatch.setattr(failure, "CLAIM_LAPSES_AFTER", timedelta(0))
    assert not report_lost_run(lost, "another-model")
    (message,) = hook.messages
    assert message.startswith(
        f"run_failed (warning): {model}, pipeline training, no container started Python\n"
        f"Run {lost.name} failed, of its schedule\n"
    )


def test_lost_runs_of_a_schedule_are_told_once(zenml_client: Client, hook: Webhook, model: str) -> None:
    """An image that cannot be pulled is one message a day, whatever the schedule."""
    for _ in range(3):
        assert report_lost_run(a_lost_run(), model)
    assert len(hook.messages) == 1


def test_a_lost_run_whose_message_no_target_took_waits(
    zenml_client: Client, hook: Webhook, model: str
) -> None:
    """It is late and not lost."""
    hook.status = 500
    assert report_lost_run(a_lost_run(), model)
    hook.status = 200
    tell_untold(model)
    assert len(hook.messages) == 1


def test_a_lost_run_is_told_although_its_teller_was_killed(
    zenml_client: Client, hook: Webhook, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after claiming and before it was written down: nobody else tells it at first, and one later."""
    lost = a_lost_run()
    zenml_client.create_tag(f"notified-{lost.id}")
    assert not report_lost_run(lost, model)
    assert hook.messages == []
    monkeypatch.setattr(failure, "CLAIM_LAPSES_AFTER", timedelta(0))
    assert report_lost_run(lost, model)
    assert not report_lost_run(lost, model)
    assert len(hook.messages) == 1
