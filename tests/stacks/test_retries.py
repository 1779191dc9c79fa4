"""Faults are tried again, refusals and interruptions are not, and every ending is one that ZenML knows."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from zenml.config.retry_config import StepRetryConfig
from zenml.enums import ExecutionMode

from stacks import retries
from stacks.retries import attempt, is_final
from tests.stacks.local_orchestrator.stack import make_stack

if TYPE_CHECKING:
    from zenml.client import Client
    from zenml.config.step_configurations import Step
    from zenml.models import PipelineRunResponse

RETRIES = 2


class Lab:
    """Runs the faltering pipeline on a stack of the test's own."""

    def __init__(self, client: Client, pipeline: ModuleType) -> None:
        self.client, self.pipeline = client, pipeline

    def run(
        self, *faults: str, delay: int = 0, retries: int = RETRIES
    ) -> tuple[PipelineRunResponse, BaseException | None]:
        """Run it with these faults, one an attempt; return the run, and what was raised."""
        self.pipeline.attempts.clear()
        self.pipeline.told.clear()
        name = f"faltering-{uuid4().hex[:8]}"
        configured = self.pipeline.faltering.with_options(
            run_name=name,
            execution_mode=ExecutionMode.FAIL_FAST,
            retry=StepRetryConfig(max_retries=retries, delay=delay, backoff=2) if retries else None,
        )
        raised: BaseException | None = None
        try:
            configured(list(faults))
        except BaseException as error:  # noqa: BLE001 - also an interruption is looked at
            raised = error
        return self.client.get_pipeline_run(name), raised


@pytest.fixture(scope="module")
def stack_id(zenml_client: Client, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A stack with the local orchestrator."""
    return str(make_stack(zenml_client, "retries", tmp_path_factory.mktemp("retries")))


@pytest.fixture
def lab(zenml_client: Client, stack_id: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """That stack, active for one test."""
    from tests.stacks import retried_pipeline

    monkeypatch.setenv("ZENML_ACTIVE_STACK_ID", stack_id)
    yield Lab(zenml_client, retried_pipeline)


def statuses(run: PipelineRunResponse) -> dict[str, str]:
    """Of the run and of its last attempts."""
    return {"run": str(run.status), **{name: str(step.status) for name, step in run.steps.items()}}


@pytest.mark.parametrize("fault", ["unreachable", "a library's"])
def test_a_fault_is_tried_again(lab: Lab, caplog: pytest.LogCaptureFixture, fault: str) -> None:
    """What failed once and then ends well ends the run well; one line says why it took longer."""
    with caplog.at_level(logging.WARNING, logger="shutterline"):
        run, raised = lab.run(fault)
    assert raised is None
    assert statuses(run) == {"run": "completed", "before": "completed", "falters": "completed"}
    assert len(lab.pipeline.attempts) == 2
    assert lab.pipeline.told == []
    said = [record.getMessage() for record in caplog.records if record.name == "shutterline"]
    assert said == [f"falters failed (it is {fault}); again in 0 s (1 of 2)"]


def test_the_last_failure_is_what_is_raised(lab: Lab) -> None:
    """After the last retry: the exception itself, everything closed, one message to people."""
    run, raised = lab.run("a library's", "a library's", "unreachable", "unreachable")
    assert type(raised).__name__ == "ServiceUnreachable"
    assert statuses(run) == {"run": "failed", "before": "completed", "falters": "failed"}
    assert len(lab.pipeline.attempts) == 1 + RETRIES
    assert lab.pipeline.told == [("falters", "ServiceUnreachable")]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("refused", "Refused"),
        ("wrong use", "UsageError"),
        ("interrupted", "KeyboardInterrupt"),
        ("terminated", "RunInterruptedException"),
    ],
)
def test_what_is_final_is_not_tried_again(lab: Lab, fault: str, kind: str) -> None:
    """It ends run and step at once although retries are left, says why, and people are told once.

    ZenML has one word for a step whose retries were taken back: stopped.
    """
    run, raised = lab.run(fault)
    assert type(raised).__name__ == kind
    assert len(lab.pipeline.attempts) == 1
    assert statuses(run) == {"run": "failed", "before": "completed", "falters": "stopped"}
    info = run.steps["falters"].exception_info
    assert info is not None
    assert info.source is not None
    assert info.source.endswith(kind)
    assert lab.pipeline.told == [("falters", kind)]
    assert run.end_time is not None
    assert not run.in_progress


def test_a_refusal_after_a_fault_is_final(lab: Lab) -> None:
    """A retry may be refused: then it ends there."""
    run, raised = lab.run("unreachable", "refused", "unreachable")
    assert type(raised).__name__ == "Refused"
    assert len(lab.pipeline.attempts) == 2
    assert statuses(run) == {"run": "failed", "before": "completed", "falters": "stopped"}
    assert lab.pipeline.told == [("falters", "Refused")]


def test_ctrl_c_while_it_waits_ends_it_at_once(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the next attempt of what was interrupted, and nothing stays open."""
    waited: list[float] = []

    def interrupted(seconds: float) -> None:
        waited.append(seconds)
        raise KeyboardInterrupt

    monkeypatch.setattr(retries, "sleep", interrupted)
    run, raised = lab.run("unreachable", delay=60)
    assert isinstance(raised, KeyboardInterrupt)
    assert waited == [60.0]
    assert len(lab.pipeline.attempts) == 1
    assert statuses(run) == {"run": "failed", "before": "completed", "falters": "stopped"}
    assert lab.pipeline.told == [("falters", "KeyboardInterrupt")]


def test_each_wait_is_longer_by_the_factor(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 60 s and factor 2: 60, then 120 s."""
    waited: list[float] = []
    monkeypatch.setattr(retries, "sleep", waited.append)
    run, _ = lab.run("unreachable", "unreachable", delay=60)
    assert waited == [60.0, 120.0]
    assert statuses(run)["run"] == "completed"


@pytest.mark.parametrize(
    ("error", "final"),
    [
        ("Refused", True),
        ("UsageError", True),
        ("ServiceUnreachable", False),
        ("ServiceFailed", False),
        ("DamagedArtifact", False),
    ],
)
def test_of_our_own_errors_two_are_final(error: str, final: bool) -> None:
    """Those with exit code 2 and 3."""
    from materializers import errors

    assert is_final(getattr(errors, error)("it")) is final


def test_a_container_makes_one_attempt_and_leaves_a_fault_to_the_next(lab: Lab) -> None:
    """Where every attempt has a process of its own, ZenML goes on waiting for the next one."""
    from zenml.orchestrators.local.local_orchestrator import LocalOrchestrator

    from stacks.local_orchestrator.orchestrator import ShutterlineLocalOrchestrator

    def once(self: ShutterlineLocalOrchestrator, step: Step) -> None:
        launch = partial(LocalOrchestrator.run_step, self, step)
        attempt(launch, step, orchestrator_run_id=self.get_orchestrator_run_id())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ShutterlineLocalOrchestrator, "run_step", once)
        for fault, status in (("unreachable", "retrying"), ("refused", "stopped")):
            run, _ = lab.run(fault)
            assert len(lab.pipeline.attempts) == 1
            assert statuses(run)["falters"] == status
            assert len(lab.pipeline.told) == (status == "stopped")


def test_a_step_without_retries_is_tried_once(lab: Lab) -> None:
    """The step's own setting counts, not a default."""
    run, raised = lab.run("unreachable", retries=0)
    assert type(raised).__name__ == "ServiceUnreachable"
    assert len(lab.pipeline.attempts) == 1
    assert statuses(run) == {"run": "failed", "before": "completed", "falters": "failed"}
    assert lab.pipeline.told == [("falters", "ServiceUnreachable")]
