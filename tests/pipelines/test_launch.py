"""A run that ended badly is closed without hiding how it ended."""

from __future__ import annotations

import logging
from pathlib import Path
from uuid import uuid4

import pytest
from zenml import pipeline, step
from zenml.client import Client
from zenml.orchestrators import SubmissionResult
from zenml.orchestrators.step_runner import StepRunner

from materializers.errors import RunGoesOn, ServiceUnreachable, UsageError
from pipelines import launch
from pipelines.config import load_config
from pipelines.notification import notify_failed_runs
from pipelines.session import close_run
from stacks.local_orchestrator.orchestrator import ShutterlineLocalOrchestrator
from steps.monitoring.alerts.failure import is_settled, said_of, tells_of


def test_a_run_that_cannot_be_closed_hides_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An interruption stays one, with exit code 130: what closing came to is said beside it."""

    def unreachable() -> None:
        raise ServiceUnreachable("The store does not answer")

    monkeypatch.setattr(launch, "Client", unreachable)
    with caplog.at_level(logging.WARNING, logger="shutterline"):
        launch._close("training-1")
    assert "Run training-1 was not closed: The store does not answer; the next command" in caplog.text


def test_the_digest_of_the_libraries_follows_both_locks_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A version in either lock changes it, and so the code's; a line of code changes the code's alone."""
    monkeypatch.setattr(launch, "PROJECT", tmp_path)
    for name in ("serving/requirements.lock", "requirements.lock", "steps/a.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("numpy==2.2\n")

    def digests() -> tuple[str, str]:
        return launch.lock_digest.__wrapped__(), launch.code_digest.__wrapped__()

    before = digests()
    (tmp_path / "steps" / "a.py").write_text("numpy = 2\n")
    with_code = digests()
    assert (with_code[0], with_code[1] != before[1]) == (before[0], True)
    seen = [with_code]
    for name in launch.LOCKS:
        (tmp_path / name).write_text("numpy==2.3\n")
        seen.append(digests())
    assert len({lock for lock, _ in seen}) == len({code for _, code in seen}) == 3


@step
def nothing() -> None:
    """Do nothing."""


@pipeline
def idle() -> None:
    """One step that does nothing."""
    nothing()


def test_a_fault_that_no_step_recorded_is_told_by_itself(
    local_stack: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where ZenML fails before a step's own code, the run holds no reason: the exception is the reason."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the step could not be prepared")

    monkeypatch.setattr(StepRunner, "run", broken)
    config = load_config(None, ("running.retries.count=0",))
    result = launch.start(idle, config, {}, how=launch.How(cache=False))
    assert (result.status, result.exit_code) == ("failed", 1)
    assert result.reasons == ("the step could not be prepared",)
    assert str(local_stack.get_pipeline_run(result.run or "").status) == "failed"


@step(enable_cache=False)
def broken_step() -> None:
    """Fail."""
    raise UsageError("There is no such source")


@pipeline
def failing() -> None:
    """One step that fails."""
    broken_step()


def test_a_fault_is_told_by_the_result_and_not_by_the_log_as_well(
    local_stack: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The alerter was given the message, and writes into the log; other messages still stand there."""
    config = load_config(None, ("running.retries.count=0",))
    with caplog.at_level(logging.WARNING, logger="shutterline"):
        result = launch.start(failing, config, {})
        logging.getLogger("shutterline").warning("Later: %s", said_of(result.run or ""))
    assert result.reasons == ("There is no such source",)
    # A set: after other tests ZenML's logging may hand a line to pytest twice.
    said = {line for line in caplog.messages if said_of(result.run or "") in line}
    assert said == {f"Later: {said_of(result.run or '')}"}
    assert tells_of(f"run_failed (warning): shop, pipeline failing {said_of('failing-1')} …", "failing-1")
    assert is_settled(local_stack.get_pipeline_run(result.run or ""))


def test_an_interrupted_run_is_told_to_nobody(local_stack: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where no step of it was running: it is closed, and the next command does not tell of it."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(StepRunner, "run", interrupted)
    config = load_config(None, (f"product.model=interrupted-{uuid4().hex[:8]}",))
    with pytest.raises(KeyboardInterrupt):
        launch.start(idle, config, {}, how=launch.How(cache=False))
    (run,) = local_stack.list_pipeline_runs(tags=f"model:{config.product.model}", hydrate=True)
    assert run.status.is_finished
    assert is_settled(run)
    assert notify_failed_runs(config.product.model) == []


def test_a_run_that_goes_on_elsewhere_is_left_open(
    local_stack: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its orchestrator stopped answering it is neither closed nor told of, and its name is given."""

    def out_of_reach() -> None:
        raise RunGoesOn("Kubeflow does not answer any more; the run goes on there")

    def submitted(*_: object, **__: object) -> SubmissionResult:
        return SubmissionResult(wait_for_completion=out_of_reach)

    monkeypatch.setattr(ShutterlineLocalOrchestrator, "submit_pipeline", submitted)
    config = load_config(None, (f"product.model=goes-on-{uuid4().hex[:8]}",))
    result = launch.start(idle, config, {}, how=launch.How(cache=False))
    assert (result.status, result.exit_code) == ("failed", 4)
    assert result.reasons == ("Kubeflow does not answer any more; the run goes on there",)
    run = local_stack.get_pipeline_run(result.run or "")
    assert not run.status.is_finished
    close_run(run)
