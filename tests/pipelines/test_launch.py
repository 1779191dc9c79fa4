"""A run that ended badly is closed without hiding how it ended."""

from __future__ import annotations

import logging

import pytest
from zenml import pipeline, step
from zenml.client import Client
from zenml.orchestrators.step_runner import StepRunner

from materializers.errors import ServiceUnreachable
from pipelines import launch
from pipelines.config import load_config


def test_a_run_that_cannot_be_closed_hides_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An interruption stays one, with exit code 130: what closing came to is said beside it."""

    def unreachable() -> None:
        raise ServiceUnreachable("The store does not answer")

    monkeypatch.setattr(launch, "Client", unreachable)
    monkeypatch.setattr(logging.getLogger("shutterline"), "propagate", True)
    with caplog.at_level(logging.WARNING, logger="shutterline"):
        launch._close("training-1")
    assert "Run training-1 was not closed: The store does not answer; the next command" in caplog.text


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
