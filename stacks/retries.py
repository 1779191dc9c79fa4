"""Only faults are tried again: wrong use, a refusal and an interruption end a step at its first attempt.

ZenML's own loop tries everything again, a Ctrl-C included.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import sleep
from typing import TYPE_CHECKING

from zenml.client import Client
from zenml.exceptions import RunInterruptedException, RunStoppedException
from zenml.steps.heartbeat import StepHeartBeatTerminationException

from materializers.carried_run import end_as_failed
from materializers.errors import Refused, ShutterlineError, UsageError
from materializers.redaction import one_line

if TYPE_CHECKING:
    from zenml.config.step_configurations import Step
    from zenml.models import PipelineRunResponse, StepRunResponse

FINAL_EXIT_CODES = frozenset({UsageError.exit_code, Refused.exit_code})
STOPPED_BY_ZENML = (RunStoppedException, StepHeartBeatTerminationException)
"""Somebody stopped the run through ZenML, which has recorded that and tries nothing again itself."""
LONGEST_REASON = 300
"""Characters of what failed that the line about the next attempt repeats."""

logger = logging.getLogger("shutterline")


def is_final(error: BaseException) -> bool:
    """Whether another attempt has no sense: wrong use, a refusal, or somebody ended the process."""
    if isinstance(error, ShutterlineError):
        return error.exit_code in FINAL_EXIT_CODES
    return not isinstance(error, Exception)


def attempt(launch: Callable[[], object], step: Step, *, orchestrator_run_id: str) -> None:
    """Make one attempt; where it ended for good although the step's retries are not used up, say so to ZenML.

    This is all that an orchestrator needs which starts every attempt in a process of its own.

    Args:
        launch: makes ZenML's one attempt.
        step: the step, as it was compiled.
        orchestrator_run_id: finds the run in ZenML.

    Raises:
        BaseException: whatever the attempt raised.
    """
    try:
        launch()
    except BaseException as error:
        if is_final(error):
            give_up(step, error, orchestrator_run_id=orchestrator_run_id)
        raise


def attempt_again(launch: Callable[[], object], step: Step, *, orchestrator_run_id: str) -> None:
    """Make as many attempts in this process as the step's retries allow, and wait in between.

    Args:
        launch: makes ZenML's one attempt.
        step: the step, as it was compiled.
        orchestrator_run_id: finds the run in ZenML.

    Raises:
        BaseException: what the last attempt raised, or the first that is not to be repeated.
    """
    retry = step.config.retry
    allowed, delay = (retry.max_retries, float(retry.delay)) if retry else (0, 0.0)
    number = 0
    while True:
        number += 1
        try:
            attempt(launch, step, orchestrator_run_id=orchestrator_run_id)
        except STOPPED_BY_ZENML:
            raise
        except RunInterruptedException as error:  # SIGTERM: whoever ends the process wants no other attempt
            give_up(step, error, orchestrator_run_id=orchestrator_run_id)
            raise
        except Exception as error:
            if is_final(error) or number > allowed:
                raise
            logger.warning(
                "%s failed (%s); again in %g s (%d of %d)",
                step.spec.invocation_id,
                _in_short(error),
                delay,
                number,
                allowed,
            )
        else:
            return
        try:
            sleep(delay)
        except BaseException as error:
            give_up(step, error, orchestrator_run_id=orchestrator_run_id)
            raise
        delay *= retry.backoff if retry else 1


def give_up(step: Step, error: BaseException, *, orchestrator_run_id: str) -> None:
    """End a run as failed although ZenML waits for its step's next attempt; fire the step's failure hook.

    Nothing is done where the step has ended for ZenML, too: it fired the hook itself.
    """
    runs = Client().list_pipeline_runs(orchestrator_run_id=orchestrator_run_id, size=1, hydrate=True)
    if not runs.items:
        return
    found = Client().list_run_steps(
        pipeline_run_id=runs.items[0].id,
        name=step.spec.invocation_id,
        exclude_retried=True,
        size=1,
        hydrate=True,
    )
    waited_for = [step_run for step_run in found.items if not step_run.status.is_finished]
    if not waited_for:
        return
    end_as_failed(runs.items[0].id)
    _fire_failure_hook(step, runs.items[0], waited_for[0], error)


def _fire_failure_hook(
    step: Step, run: PipelineRunResponse, step_run: StepRunResponse, error: BaseException
) -> None:
    """As ZenML does after the last attempt: in the step's context and environment."""
    from zenml.enums import HookType
    from zenml.hooks.execution import run_lifecycle_hook
    from zenml.steps.step_context import StepContext
    from zenml.utils.env_utils import temporary_environment

    context = StepContext(
        pipeline_run=run,
        step_run=step_run,
        output_materializers={},
        output_artifact_uris={},
        output_artifact_configs={},
    )
    environment = {key: str(value) for key, value in step.config.environment.items()}
    with context, temporary_environment(environment):
        run_lifecycle_hook(step.config.failure_hook_source, HookType.STEP_FAILURE, optional_args=(error,))


def _in_short(error: Exception) -> str:
    said = one_line(str(error)) or type(error).__name__
    return said if len(said) <= LONGEST_REASON else f"{said[:LONGEST_REASON]}…"
