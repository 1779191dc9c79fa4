"""Start a pipeline on the active stack and say what it came to."""

from __future__ import annotations

import hashlib
import logging
from datetime import UTC, datetime
from functools import cache as computed_once
from typing import Any
from uuid import UUID, uuid4

from zenml.client import Client
from zenml.enums import ExecutionMode

from materializers.errors import Refused, ShutterlineError
from materializers.evidence import read_version
from pipelines.change import unapproved_change
from pipelines.config import Config
from pipelines.continuous import continuous
from pipelines.deployment import deployment
from pipelines.inference import inference
from pipelines.results import PipelineResult, exit_code_of, read_result
from pipelines.session import PROCESS_KEY, PROJECT, close_run, leave_autologging_alone, this_process
from pipelines.training import TrainingInputs, training
from steps.data.sources import find_source
from steps.inference.champion import live_release
from steps.inference.predict import refuse_unwritable
from steps.training.settings import check_trainable

logger = logging.getLogger("shutterline")

MODEL_MAKING = ("materializers", "pipelines", "serving", "steps")
"""The folders whose code decides what a model becomes."""
LOCKS = ("requirements.lock", "serving/requirements.lock")
"""The libraries that it runs on."""


@computed_once
def code_digest() -> str:
    """The sha256 (hex) of all files that decide what a model becomes, by path and content.

    Read once a process: what is edited afterwards is not what it runs.
    """
    digest = hashlib.sha256()
    code = [path for folder in MODEL_MAKING for path in sorted((PROJECT / folder).rglob("*.py"))]
    for path in [*code, *(PROJECT / lock for lock in LOCKS)]:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(PROJECT).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def start(pipeline: Any, config: Config, arguments: dict[str, Any], *, cache: bool | None) -> PipelineResult:
    """Run one pipeline to its end.

    Args:
        pipeline: the ZenML pipeline.
        config: names the model whose runs this belongs to, and the experiment.
        arguments: the pipeline's own.
        cache: False runs every step anew; None leaves it to the steps.

    Raises:
        KeyboardInterrupt: after the run was closed.
    """
    leave_autologging_alone()
    name = pipeline.name
    run_name = f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid4().hex[:6]}"
    configured = pipeline.with_options(
        run_name=run_name,
        enable_cache=cache,
        execution_mode=ExecutionMode.FAIL_FAST,
        tags=[f"model:{config.product.model}"],
        extra={PROCESS_KEY: this_process()},
        settings={"experiment_tracker": {"experiment_name": config.product.experiment}},
    )
    try:
        configured(**arguments)
    except KeyboardInterrupt:
        _close(run_name)
        raise
    except Exception as error:  # noqa: BLE001 - whatever a step raised is in the run's exception information
        return _read_failure(name, run_name, error)
    return read_result(name, Client().get_pipeline_run(run_name, allow_name_prefix_match=False))


def _read_failure(name: str, run_name: str, error: Exception) -> PipelineResult:
    """What ZenML recorded of the fault; where it recorded none, the exception itself."""
    try:
        run = Client().get_pipeline_run(run_name, allow_name_prefix_match=False)
    except KeyError:
        return PipelineResult.of_exception(name, error)
    _close(run.id)
    result = read_result(name, Client().get_pipeline_run(run.id))
    source = f"{type(error).__module__}.{type(error).__qualname__}"
    clearer = isinstance(error, ShutterlineError) or (result.exit_code == 1 and exit_code_of(source) != 1)
    if clearer or not any(step_run.exception_info for step_run in run.steps.values()):
        return PipelineResult.of_exception(name, error, run=run_name)
    return result


def _close(run: str | UUID) -> None:
    """Close a run after an interruption or a fault, which stays what is told: closing never hides it."""
    try:
        close_run(Client().get_pipeline_run(run, allow_name_prefix_match=False))
    except KeyError:
        return  # it was never made
    except Exception as error:  # noqa: BLE001 - the run is left open, and the next command closes it
        logger.warning("Run %s was not closed: %s; the next command closes it.", run, error)


def train(config: Config, *, source: str | None, data: str | None, cache: bool | None) -> PipelineResult:
    """Train on one delivery, or on one stored dataset version."""
    return _train(training, config, source=source, data=data, cache=cache)


def retrain(config: Config, *, source: str | None, data: str | None, cache: bool | None) -> PipelineResult:
    """Join a delivery to what is there, and train when there is a reason."""
    return _train(continuous, config, source=source, data=data, cache=cache)


def _train(
    pipeline: Any, config: Config, *, source: str | None, data: str | None, cache: bool | None
) -> PipelineResult:
    check_trainable(config.train)
    if source is not None:
        find_source(source)
    refusal = unapproved_change(config)
    if refusal is not None:
        return PipelineResult.of_fault(pipeline.name, refusal, Refused.exit_code)
    inputs = TrainingInputs(source=source, data_version=data, code=code_digest())
    return start(pipeline, config, {"config": config, "inputs": inputs}, cache=cache)


def deploy(config: Config, *, environment: Any, version: int | None, cache: bool | None) -> PipelineResult:
    """Release a version to an environment.

    Raises:
        UsageError: there is no such version.
    """
    if version is not None:
        read_version(config.product.model, version)
    arguments = {
        "model_name": config.product.model,
        "environment": environment,
        "mode": config.deployment.mode,
        "policy_digest": config.policy.digest,
        "version": version,
    }
    return start(deployment, config, arguments, cache=cache)


def infer(
    config: Config, *, environment: Any, source: str, output: str, cache: bool | None
) -> PipelineResult:
    """Classify a folder of pictures with the live model.

    Raises:
        UsageError: there is no such folder, nothing is live, or the output cannot be written.
    """
    find_source(source)
    refuse_unwritable(output)
    live_release(config.product.model, environment)
    arguments = {
        "model_name": config.product.model,
        "environment": environment,
        "source": source,
        "output": output,
        "settings": config.inference,
    }
    return start(inference, config, arguments, cache=cache)
