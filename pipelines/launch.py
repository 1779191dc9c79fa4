"""Start a pipeline on the active stack and say what it came to."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache as computed_once
from pathlib import Path
from typing import Any
from uuid import UUID

from zenml.client import Client
from zenml.enums import ExecutionMode
from zenml.utils.io_utils import is_remote

from materializers.carried_run import PROCESS_KEY, this_process
from materializers.errors import Refused, RunGoesOn, ShutterlineError, UsageError
from materializers.evidence import read_version, run_output
from materializers.release import Environment
from pipelines.compiling import write_compiled
from pipelines.config import Config
from pipelines.continuous import continuous
from pipelines.deployment import deployment
from pipelines.inference import inference, part_name
from pipelines.monitoring import monitoring
from pipelines.notification import notify_failed_runs
from pipelines.reproduction import reproduction
from pipelines.results import PipelineResult, exit_code_of, read_result
from pipelines.scheduling import Repetition, keep_schedule
from pipelines.session import PROJECT, close_run, new_run_name
from pipelines.training import TrainingInputs, training
from steps.data.sources import find_source
from steps.data.watching import require_source
from steps.deployment.deployer import active_deployer
from steps.deployment.rollout import log_lost_end
from steps.deployment.schedule import look_name, stop_looking
from steps.inference.champion import live_release
from steps.inference.output import refuse_unwritable, write_predictions
from steps.monitoring.alerts.failure import notify_failure, settle, tells_of
from steps.orchestrator import find_orchestrator
from steps.registry.change import unapproved_change
from steps.reproduction.recalling import recall
from steps.run_tags import environment_tag, model_tag
from steps.training.settings import check_trainable
from steps.training.tuning.search import check_searchable

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
    code = [path for folder in MODEL_MAKING for path in sorted((PROJECT / folder).rglob("*.py"))]
    return _digest_of([*code, *(PROJECT / lock for lock in LOCKS)])


@computed_once
def lock_digest() -> str:
    """The sha256 (hex) of both lock files, by path and content: the libraries, apart from our own code."""
    return _digest_of([PROJECT / lock for lock in LOCKS])


def _digest_of(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(PROJECT).as_posix()} {content}\n".encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class How:
    """How a pipeline is to be started.

    Attributes:
        cache: False runs every step anew; None leaves it to the steps.
        repetition: when to run it again and again, instead of now.
        compile_to: where to write what the orchestrator would be given, instead of running it.
        look: the arguments of run.py that look once at what is rolling out, but for ``--environment``.
    """

    cache: bool | None = None
    repetition: Repetition | None = None
    compile_to: Path | None = None
    look: tuple[str, ...] = ()


NOW = How()


def start(pipeline: Any, config: Config, arguments: dict[str, Any], *, how: How = NOW) -> PipelineResult:
    """Run one pipeline to its end, keep it as a schedule, or only compile it.

    Args:
        pipeline: the ZenML pipeline.
        config: names the model whose runs this belongs to, and the experiment.
        arguments: the pipeline's own.
        how: now, again and again, or not at all.

    Raises:
        UsageError: it cannot be scheduled or compiled so, or not on this stack.
        KeyboardInterrupt: after the run was closed.
    """
    name = pipeline.name
    run_name = new_run_name(name)
    configured = pipeline.with_options(
        run_name=run_name,
        enable_cache=how.cache,
        execution_mode=ExecutionMode.FAIL_FAST,
        tags=[model_tag(config.product.model), *_of_environment(arguments)],
        extra={PROCESS_KEY: this_process()},
        on_failure=notify_failure,
        **_options(config),
    )
    if how.compile_to is not None:
        return write_compiled(configured, arguments, how.compile_to)
    if how.repetition is not None:
        return keep_schedule(configured, arguments, model=config.product.model, repetition=how.repetition)
    with _told_by_the_result(run_name):
        return _run(configured, arguments, config, run_name)


def _of_environment(arguments: dict[str, Any]) -> list[str]:
    """The tag of a run that is about one environment, by which what it said is found."""
    return [environment_tag(arguments["environment"])] if "environment" in arguments else []


def _run(configured: Any, arguments: dict[str, Any], config: Config, run_name: str) -> PipelineResult:
    """Run a configured pipeline to its end, and say what it came to."""
    name = configured.name
    try:
        configured(**arguments)
    except KeyboardInterrupt:
        _close(run_name, tell=False)
        raise
    except RunGoesOn as error:
        return PipelineResult.of_exception(name, error, run=run_name)
    except Exception as error:  # noqa: BLE001 - whatever a step raised is in the run's exception information
        result = _read_failure(name, run_name, error)
    else:
        result = read_result(name, Client().get_pipeline_run(run_name, allow_name_prefix_match=False))
    if result.status == "failed":
        # What could not tell it itself, such as a container that ended before Python started.
        notify_failed_runs(config.product.model)
    return result


@contextmanager
def _told_by_the_result(run_name: str) -> Iterator[None]:
    """Keep this process's log from saying that this run failed, and why: its result says it.

    An alerter without targets writes into the log; those that have some are told all the same.
    """

    def is_other(record: logging.LogRecord) -> bool:
        return not tells_of(record.getMessage(), run_name)

    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)


def _options(config: Config) -> dict[str, Any]:
    """How the stack is to run the steps; a component that has no use for a setting leaves it."""
    options = config.running.options()
    if not config.tunes:
        # A step that has nothing to do waits for no GPU.
        options["steps"].pop("tune", None)
    if config.inference.steps > 1 and (predict := options["steps"].get("predict")) is not None:
        # Each that classifies a part is given what one that classifies all would be.
        options["steps"] |= {part_name(number): predict for number in range(config.inference.steps)}
    tracked = {"experiment_tracker": {"experiment_name": config.product.experiment}}
    return {**options, "settings": {**options["settings"], **tracked}}


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


def _close(run: str | UUID, *, tell: bool = True) -> None:
    """Close a run after an interruption or a fault, which stays what is told: closing never hides it.

    Args:
        run: its name or id.
        tell: whether people are to hear of it; whoever interrupted it knows.
    """
    ended = False
    try:
        found = Client().get_pipeline_run(run, allow_name_prefix_match=False)
        ended = found.status.is_finished
        if not tell:
            settle(found)
        close_run(found)
    except KeyError:
        return  # it was never made
    except Exception as error:  # noqa: BLE001 - the run is left open, and the next command closes it
        # One that ended has nothing open but what a lost tracker still has to get: its registration says so.
        if not ended:
            logger.warning("Run %s was not closed: %s; the next command closes it.", run, error)


def train(config: Config, *, source: str | None, data: str | None, how: How = NOW) -> PipelineResult:
    """Train on one delivery, or on one stored dataset version."""
    return _train(training, config, source=source, data=data, how=how)


def retrain(config: Config, *, source: str | None, data: str | None, how: How = NOW) -> PipelineResult:
    """Join a delivery to what is there, and train when there is a reason."""
    with _looked_at(config, "staging", how):
        return _train(continuous, config, source=source, data=data, how=how)


def _train(
    pipeline: Any, config: Config, *, source: str | None, data: str | None, how: How
) -> PipelineResult:
    if source is not None:
        require_source(source)
    refusal = refusal_to_train(config)
    if refusal is not None:
        return PipelineResult.of_fault(pipeline.name, refusal, Refused.exit_code)
    reachable = None if source is None else _reachable(source)
    inputs = TrainingInputs(source=reachable, data_version=data, code=code_digest(), lock=lock_digest())
    return start(pipeline, config, {"config": config, "inputs": inputs}, how=how)


def refusal_to_train(config: Config) -> str | None:
    """Why nobody may train by this configuration yet; None where anyone may.

    Raises:
        UsageError: nobody can.
        ServiceUnreachable: the registry cannot be read.
    """
    check_trainable(config.train)
    check_searchable(config.train, config.tune)
    return unapproved_change(config.product.model, config.change, config.approval)


def _reachable(source: str) -> str:
    """The address under which the steps can read a source.

    Raises:
        ServiceUnreachable: it would have to be copied, and cannot be.
    """
    orchestrator = find_orchestrator()
    return source if orchestrator is None else orchestrator.bring(source)


def deploy(config: Config, *, environment: Any, version: int | None, how: How = NOW) -> PipelineResult:
    """Release a version to an environment.

    Raises:
        UsageError: there is no such version.
    """
    check_deployment(config, version)
    arguments = _deployment(config, environment, version=version, only_look=False)
    with _looked_at(config, environment, how):
        return start(deployment, config, arguments, how=how)


def check_deployment(config: Config, version: int | None) -> None:
    """Refuse before a run, or a schedule, to release what was never registered.

    Raises:
        UsageError: there is no such version.
        ServiceUnreachable: the registry cannot be read.
    """
    if version is not None:
        read_version(config.product.model, version)


def observe(config: Config, *, environment: Any, how: How = NOW) -> PipelineResult:
    """Look once at what is rolling out in an environment: it goes on, gets more of the traffic, or goes."""
    if active_deployer().rolling_out(config.product.model, environment) is None:
        log_lost_end(config.product.model, environment)
        stop_looking(config.product.model, environment)
        said = f"Nothing is rolling out in {environment}. See what is live: python run.py --status"
        return PipelineResult(pipeline=deployment.name, run=None, status="skipped", reasons=(said,))
    arguments = _deployment(config, environment, version=None, only_look=True)
    return start(deployment, config, arguments, how=how)


def _deployment(
    config: Config, environment: Environment, *, version: int | None, only_look: bool
) -> dict[str, Any]:
    """The arguments of the pipeline ``deployment``."""
    return {
        "model_name": config.product.model,
        "environment": environment,
        "settings": config.deployment,
        "policy": config.policy,
        "presupposed": config.presupposed,
        "cost": config.evaluate.cost,
        "class_changes": config.product.class_changes,
        "approval": config.approval,
        "version": version,
        "only_look": only_look,
    }


@contextmanager
def _looked_at(config: Config, environment: Environment, how: How) -> Iterator[None]:
    """Have a schedule look at what begins to roll out meanwhile, and none where nothing does in the end.

    It is there before anything rolls out: whoever is killed in between leaves no candidate that nobody
    observes, only a schedule that finds nothing and removes itself.
    """
    name = config.product.model
    now = how.repetition is None and how.compile_to is None
    if now and find_orchestrator() is not None and _may_roll_out(config, environment):
        minutes = config.deployment.look_every_minutes
        command = ("--environment", environment, *how.look)
        repetition = Repetition(
            cron=f"*/{minutes} * * * *", command=command, name=look_name(name, environment)
        )
        arguments = _deployment(config, environment, version=None, only_look=True)
        kept = start(deployment, config, arguments, how=How(repetition=repetition))
        if kept.exit_code:
            logger.warning("No schedule looks at what rolls out in %s: %s", environment, kept.reasons[0])
    try:
        yield
    finally:
        with suppress(ShutterlineError):  # what the run came to is told; the schedule removes itself
            if now and active_deployer().rolling_out(name, environment) is None:
                stop_looking(name, environment)


def _may_roll_out(config: Config, environment: Environment) -> bool:
    """Whether a release may come out as a candidate beside what is live."""
    deployer, name = active_deployer(), config.product.model
    if deployer.rolling_out(name, environment) is not None:
        return True
    return (
        config.deployment.of(environment).mode != "full" and deployer.current(name, environment) is not None
    )


def infer(config: Config, *, environment: Any, source: str, output: str, how: How = NOW) -> PipelineResult:
    """Classify a folder of pictures with the live model.

    Raises:
        UsageError: there is no such folder, nothing is live, or the output cannot be written.
    """
    check_inference(config, environment, source=source, output=output, unattended=how.repetition is not None)
    arguments = {
        "model_name": config.product.model,
        "environment": environment,
        "source": _reachable(source),
        "output": output if is_remote(output) else None,
        "settings": config.inference,
        "code": code_digest(),
    }
    result = start(inference, config, arguments, how=how)
    if result.run is not None and not result.exit_code and not is_remote(output):
        # Whoever asked writes to their own disk: where the steps ran, it may not be there.
        write_predictions(run_output(result.run, "predictions"), output)
    return result


def check_inference(
    config: Config, environment: Environment, *, source: str, output: str, unattended: bool
) -> None:
    """Refuse before a run, or a schedule, what could classify nothing or write nothing.

    Raises:
        UsageError: there is no such folder, nothing is live, or the output cannot be written; where it is
            ``unattended``, also because nobody would be there to write it.
    """
    find_source(source)
    refuse_unwritable(output)
    if unattended:
        _refuse_unattended(output)
    live_release(config.product.model, environment)


def monitor(config: Config, *, environment: Any, how: How = NOW) -> PipelineResult:
    """Compare what the live model of an environment is asked and answers with what it was judged on.

    A schedule may be there before anything is live: whether something is, each of its runs asks.

    Raises:
        UsageError: nothing is live there.
    """
    name = config.product.model
    if how.repetition is None:
        live_release(name, environment)
    arguments = {"model_name": name, "environment": environment, "settings": config.monitor}
    return start(monitoring, config, arguments, how=how)


def reproduce(config: Config, *, version: int, how: How = NOW) -> PipelineResult:
    """Train a registered version again, from what was recorded of it, and say whether it is equal.

    Args:
        config: names the model, and says how steps run; what is trained is recorded.
        version: the registered version.
        how: now, again and again, or not at all.

    Raises:
        UsageError: there is no such version.
        Refused: what it was trained from is not all there any more.
    """
    recalled = recall(read_version(config.product.model, version))
    arguments = {"recalled": recalled, "code": code_digest(), "lock": lock_digest()}
    return start(reproduction, config, arguments, how=how)


def _refuse_unattended(output: str) -> None:
    """Refuse a file of this machine where a schedule is fired without it.

    Raises:
        UsageError: nobody would be there to write it.
    """
    orchestrator = find_orchestrator()
    if orchestrator is not None and orchestrator.book() is None and not is_remote(output):
        raise UsageError(
            f"{output} is a file of this machine, and the stack fires schedules without it: give --output an "
            "address in the artifact store"
        )
