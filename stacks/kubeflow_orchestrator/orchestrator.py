"""Submit runs and schedules to Kubeflow Pipelines, wait for them, and say what became of them."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from zenml.client import Client
from zenml.config.build_configuration import BuildConfiguration
from zenml.config.docker_settings import DockerSettings
from zenml.constants import ENV_ZENML_STORE_PREFIX, ORCHESTRATOR_DOCKER_IMAGE_KEY
from zenml.enums import ExecutionMode
from zenml.integrations.kubeflow.orchestrators import KubeflowOrchestrator
from zenml.models import ScheduleUpdate
from zenml.orchestrators import SubmissionResult

from materializers.carried_run import PROCESS_KEY, LostRun, is_carried_by, is_dead
from materializers.errors import RunGoesOn, ServiceFailed, ServiceUnreachable, UsageError
from materializers.redaction import one_line
from materializers.schedule import SCHEDULE_KEY, TERMS_KEY, Schedule, Terms, with_seconds
from stacks.kubeflow_orchestrator.compiled import KUBEFLOW_RUN, CompiledStep, compile_pipeline
from stacks.kubeflow_orchestrator.deliveries import bring
from stacks.kubeflow_orchestrator.flavor import (
    ShutterlineKubeflowOrchestratorConfig,
    ShutterlineKubeflowSettings,
)
from stacks.kubeflow_orchestrator.recurring import (
    PAGE,
    Recurring,
    check_terms,
    describe,
    named,
    recurring_runs,
)
from stacks.retries import attempt
from stacks.tracking import prepare_tracker

if TYPE_CHECKING:
    import kfp
    from kfp_server_api.exceptions import ApiException
    from zenml.config.step_configurations import Step
    from zenml.models import PipelineRunResponse, PipelineSnapshotBase, PipelineSnapshotResponse
    from zenml.stack import Stack

API_KEY = f"{ENV_ZENML_STORE_PREFIX}API_KEY"
CREDENTIALS = frozenset(
    f"{ENV_ZENML_STORE_PREFIX}{name}" for name in ("API_KEY", "API_TOKEN", "USERNAME", "PASSWORD")
)
"""What ZenML would write into the compiled pipeline, for everyone who may look at a run."""
ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"})
NOT_ALLOWED = frozenset({401, 403})
GRPC_NOT_FOUND = 5
RUN_ID = "kubeflow_run_id"
"""The metadata under which a ZenML run names the run of Kubeflow that carries it."""
STEP_ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "ZENML_ANALYTICS_OPT_IN": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
}
"""What every step runs with; on the local stack run.py sets the same."""
LOST_AFTER_S = 300.0
"""How long Kubeflow may leave a waiting client without an answer."""
LAST_WORDS_S = 20.0
"""How long a step that failed for good may take to tell people, before its run is ended."""

logger = logging.getLogger("shutterline")


class ShutterlineKubeflowOrchestrator(KubeflowOrchestrator):
    """ZenML's Kubeflow orchestrator, with each step's resources, retries and time-out, and without tokens."""

    _client: kfp.Client | None = None

    @property
    def config(self) -> ShutterlineKubeflowOrchestratorConfig:
        """The settings."""
        return cast(ShutterlineKubeflowOrchestratorConfig, self._config)

    @property
    def settings_class(self) -> type[ShutterlineKubeflowSettings]:
        """What a pipeline or a step may set."""
        return ShutterlineKubeflowSettings

    @property
    def supported_execution_modes(self) -> list[ExecutionMode]:
        """The first fault ends a run: a waiting client ends what Kubeflow still runs of it."""
        return [ExecutionMode.FAIL_FAST, ExecutionMode.CONTINUE_ON_FAILURE]

    def get_docker_builds(self, snapshot: PipelineSnapshotBase) -> list[BuildConfiguration]:
        """No build: the image is there, and the code comes from the artifact store."""
        settings = DockerSettings(parent_image=self.config.image, skip_build=True)
        return [BuildConfiguration(key=ORCHESTRATOR_DOCKER_IMAGE_KEY, settings=settings)]

    def signing_environment(self) -> dict[str, str]:
        """None: each person has a key, and names it in the environment; steps get theirs from Kubernetes."""
        return {}

    def bring(self, source: str) -> str:
        """An address of a delivery that steps can read: one of this machine is uploaded.

        Raises:
            UsageError: it cannot be read or packed.
            ServiceUnreachable: the artifact store cannot be written.
        """
        return bring(source, Client().active_stack.artifact_store)

    def submit_pipeline(
        self,
        snapshot: PipelineSnapshotResponse,
        stack: Stack,
        base_environment: dict[str, str],
        step_environments: dict[str, dict[str, str]],
        placeholder_run: PipelineRunResponse | None = None,
    ) -> SubmissionResult | None:
        """Start one run, or make a recurring one where the snapshot has a schedule.

        Raises:
            ServiceUnreachable: Kubeflow does not answer, or refuses.
        """
        text = self._compiled(snapshot, step_environments)
        name = self._name(snapshot)
        settings = cast(ShutterlineKubeflowSettings, self.get_settings(snapshot))
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "pipeline.yaml"
            file.write_text(text, encoding="utf-8")
            if snapshot.schedule:
                self._schedule(file, snapshot, settings.user_namespace)
                return None
            with self._kubeflow("take the run") as client:
                run = client.create_run_from_pipeline_package(
                    str(file),
                    run_name=name,
                    experiment_name=snapshot.pipeline_configuration.name,
                    enable_caching=False,
                    namespace=settings.user_namespace,
                )
        run_id = str(run.run_id)

        def wait() -> None:
            self._wait(run_id, placeholder_run, timeout_s=settings.timeout)

        return SubmissionResult(
            metadata={RUN_ID: run_id}, wait_for_completion=wait if settings.synchronous else None
        )

    def _schedule(self, file: Path, snapshot: PipelineSnapshotResponse, namespace: str | None) -> None:
        """Make a recurring run; then, and not before, remove the one that it replaces."""
        pipeline, schedule = snapshot.pipeline_configuration, snapshot.schedule
        if schedule is None or schedule.cron_expression is None:
            raise UsageError('A schedule is a cron expression: --schedule "0 2 * * 1"')
        name = str(pipeline.extra[SCHEDULE_KEY])
        terms = Terms.model_validate(pipeline.extra.get(TERMS_KEY, {}))
        check_terms(terms)
        with self._kubeflow(f"take the schedule {name}") as client:
            replaced = [one for one in recurring_runs(client, namespace) if one.schedule.name == name]
            experiment = client.create_experiment(pipeline.name, namespace=namespace)
            client.create_recurring_run(
                experiment_id=experiment.experiment_id,
                job_name=name,
                description=describe(
                    pipeline.name,
                    schedule.cron_expression,
                    schedule.id,
                    planned=terms.planned,
                    environment=terms.environment,
                ),
                cron_expression=with_seconds(schedule.cron_expression),
                max_concurrency=1,
                no_catchup=True,
                pipeline_package_path=str(file),
                enabled=not terms.paused,
                enable_caching=False,
            )
        for one in replaced:
            try:
                self._forget(one)
            except ServiceUnreachable as error:
                logger.warning(
                    "What %s replaces is still there and fires, too: %s. Then: python run.py --unschedule "
                    "%s, and schedule again",
                    name,
                    error,
                    name,
                )

    def _forget(self, recurring: Recurring) -> None:
        with self._kubeflow(f"remove the schedule {recurring.schedule.name}") as client:
            client.delete_recurring_run(recurring.id)
        with suppress(KeyError):
            Client().zen_store.delete_schedule(recurring.zenml_id, soft=False)

    # Schedules

    @property
    def _namespace(self) -> str | None:
        return self.config.user_namespace

    def check_terms(self, terms: Terms) -> None:
        """Refuse what Kubeflow's controller does otherwise.

        Raises:
            UsageError: it cannot fire a schedule so.
        """
        check_terms(terms)

    def book(self) -> None:
        """None: Kubeflow fires its recurring runs itself."""
        return None

    def schedules(self) -> list[Schedule]:
        """The schedules of this project, as Kubeflow has them.

        Kubeflow does not tell one that was resumed from one that fired: of that ZenML knows.

        Raises:
            ServiceUnreachable: Kubeflow does not answer.
        """
        with self._kubeflow("list its schedules") as client:
            found = list(recurring_runs(client, self._namespace))
        changed = _last_changes(self.id) if found else {}
        return [_counted_from(one.schedule, changed.get(one.zenml_id)) for one in found]

    def pause(self, name: str, paused: bool = True) -> None:
        """Pause a schedule, or let it go on.

        Raises:
            UsageError: there is none of this name.
            ServiceUnreachable: Kubeflow does not answer.
        """
        with self._kubeflow(f"{'pause' if paused else 'resume'} the schedule {name}") as client:
            found = named(client, self._namespace, name)
            for one in found:
                if paused:
                    client.disable_recurring_run(one.id)
                else:
                    client.enable_recurring_run(one.id)
        for one in found:
            with suppress(KeyError):
                Client().zen_store.update_schedule(one.zenml_id, ScheduleUpdate(active=not paused))

    def remove(self, name: str) -> None:
        """Remove a schedule, in Kubeflow and in ZenML.

        Raises:
            UsageError: there is none of this name.
            ServiceUnreachable: Kubeflow does not answer.
        """
        with self._kubeflow(f"remove the schedule {name}") as client:
            found = named(client, self._namespace, name)
        for one in found:
            self._forget(one)

    def compiled(self, snapshot: PipelineSnapshotResponse) -> str:
        """The pipeline of a snapshot as Kubeflow would get it, as YAML; nothing is submitted."""
        from zenml.orchestrators.utils import get_config_environment_vars
        from zenml.utils.env_utils import get_runtime_environment

        stack = Client().active_stack
        common, _ = get_config_environment_vars()
        environments = {
            name: {**common, **get_runtime_environment(config=step.config, stack=stack)}
            for name, step in snapshot.step_configurations.items()
        }
        return self._compiled(snapshot, environments)

    def _compiled(
        self, snapshot: PipelineSnapshotResponse, step_environments: dict[str, dict[str, str]]
    ) -> str:
        steps = [
            CompiledStep(
                name=name,
                arguments=("--snapshot_id", str(snapshot.id), "--step_name", name),
                environment={**_open(step_environments[name]), **STEP_ENVIRONMENT, **self.config.environment},
                secrets=self._secrets_of(name),
                upstream=step.spec.upstream_steps,
                settings=self._settings_of(step),
                retry=step.config.retry,
            )
            for name, step in snapshot.step_configurations.items()
        ]
        return compile_pipeline(self._name(snapshot), steps, image=self.config.image)

    def _secrets_of(self, step: str) -> dict[str, str]:
        """Variable → ``SECRET.KEY`` of a step's container."""
        config = self.config
        every = {API_KEY: f"{config.api_key_secret}.api_key", **config.environment_secrets}
        return {**every, **config.step_secrets.get(step, {})}

    def _settings_of(self, step: Step) -> ShutterlineKubeflowSettings:
        """What a step's container is given; ZenML's own resource settings count where ours say nothing."""
        from zenml.config.resource_settings import ByteUnit

        settings = cast(ShutterlineKubeflowSettings, self.get_settings(step))
        zenml = step.config.resource_settings
        given: dict[str, Any] = {}
        if settings.cpu_limit is None and zenml.cpu_count:
            given["cpu_limit"] = zenml.cpu_count
        memory = zenml.get_memory(ByteUnit.MIB)
        if settings.memory_limit is None and memory is not None:
            given["memory_limit"] = f"{int(memory)}Mi"
        if not settings.gpus and zenml.gpu_count:
            given["gpus"] = zenml.gpu_count
        return settings.model_copy(update=given)

    @staticmethod
    def _name(snapshot: PipelineSnapshotResponse) -> str:
        """A name that Kubeflow takes: of the pipeline, and of this snapshot alone."""
        return f"{snapshot.pipeline_configuration.name}-{snapshot.id.hex[:12]}".replace("_", "-").lower()

    def _wait(self, run_id: str, placeholder: PipelineRunResponse | None, *, timeout_s: float) -> None:
        """Wait until the run has ended; a fault, a refusal, the time-out and Ctrl-C end it.

        A failure that ZenML knows of is told by what its step recorded, not by Kubeflow.

        Raises:
            ServiceFailed: it failed otherwise, was ended, or took longer than ``timeout_s``.
            RunGoesOn: Kubeflow stopped answering.
        """
        deadline = time.monotonic() + timeout_s
        told: set[str] = set()
        try:
            while (state := self._state(run_id, told)) not in ENDED:
                if placeholder is not None and _failed_for_good(placeholder.id):
                    self._let_end(run_id)
                    return
                if time.monotonic() > deadline:
                    self._terminate(run_id)
                    raise ServiceFailed(
                        f"Kubeflow's run {run_id} was ended after {timeout_s:g} s: give it more time with "
                        "--set running.timeout_s=SECONDS"
                    )
                time.sleep(self.config.poll_s)
        except KeyboardInterrupt:
            self._terminate(run_id)
            raise
        if state != "SUCCEEDED" and not (placeholder and _failed_for_good(placeholder.id)):
            raise ServiceFailed(f"Kubeflow's run {run_id} ended as {state}: {self._page(run_id)}")

    def _let_end(self, run_id: str) -> None:
        """End a run that failed, once its step had the time to tell so: Kubeflow would start it again."""
        deadline = time.monotonic() + LAST_WORDS_S
        while time.monotonic() < deadline and self._state(run_id) not in ENDED:
            time.sleep(self.config.poll_s)
        self._terminate(run_id)

    def _state(self, run_id: str, told: set[str] | None = None) -> str:
        """Kubeflow's word for how a run stands; a step that ended is said, and put into ``told``.

        Raises:
            RunGoesOn: it did not answer for :data:`LOST_AFTER_S`.
        """
        deadline = time.monotonic() + LOST_AFTER_S
        while True:
            try:
                with self._kubeflow(f"say how run {run_id} stands") as client:
                    run = client.get_run(run_id)
                if told is not None:
                    _tell_steps(run, told)
                return str(run.state)
            except ServiceUnreachable as error:
                if time.monotonic() > deadline:
                    raise RunGoesOn(
                        f"{error}. The run may go on: python run.py --status shows what became of it"
                    ) from error
                time.sleep(self.config.poll_s)

    def _terminate(self, run_id: str) -> None:
        with suppress(ServiceUnreachable), self._kubeflow(f"end run {run_id}") as client:
            client.terminate_run(run_id)

    def _page(self, run_id: str) -> str:
        return f"{(self.config.kubeflow_hostname or '').rstrip('/')}/#/runs/details/{run_id}"

    def ended(self, run: PipelineRunResponse) -> bool:
        """Whether Kubeflow has ended, or lost, a run of this orchestrator, or never got it.

        Raises:
            ServiceUnreachable: Kubeflow does not answer.
        """
        if not is_carried_by(run, self.id):
            return False
        run_id = run.run_metadata.get(RUN_ID) or run.orchestrator_run_id
        if run_id is None:  # whoever submits it may be at it still
            process: dict[str, Any] | None = run.config.extra.get(PROCESS_KEY)
            return process is not None and is_dead(process)
        from kfp_server_api.exceptions import ApiException

        with self._kubeflow(f"say how run {run_id} stands") as client:
            try:
                state = str(client.get_run(str(run_id)).state)
            except ApiException as error:
                if not _says_absent(error, str(run_id)):
                    raise
                return True
        return state in ENDED

    def unseen_failures(self, since: datetime) -> list[LostRun]:
        """Failed runs of our schedules that ZenML knows nothing of: no container of theirs started Python.

        Raises:
            ServiceUnreachable: Kubeflow does not answer.
        """
        with self._kubeflow("list its latest runs") as client:
            ours = {one.id: one.schedule for one in recurring_runs(client, self._namespace)}
            if not ours:
                return []
            page = client.list_runs(page_size=PAGE, sort_by="created_at desc", namespace=self._namespace)
        failed = [
            LostRun(id=run.run_id, name=run.display_name, pipeline=ours[run.recurring_run_id].pipeline)
            for run in page.runs or []
            if str(run.state) == "FAILED" and run.recurring_run_id in ours and run.created_at >= since
        ]
        known = Client().list_pipeline_runs
        return [run for run in failed if not known(orchestrator_run_id=run.id, size=1).items]

    @contextmanager
    def _kubeflow(self, act: str) -> Iterator[kfp.Client]:
        """A client of Kubeflow, what it raises turned into one clear line.

        Every error of the operating system in the block is taken for Kubeflow's, so that nothing else may
        stand in it: no file, and no call of ZenML.

        Raises:
            ServiceUnreachable: Kubeflow did not do ``act``.
        """
        import urllib3
        from kfp_server_api.exceptions import ApiException

        where = self.config.kubeflow_hostname or self.config.kubernetes_context or "this cluster"
        try:
            yield self._get_kfp_client(cast(ShutterlineKubeflowSettings, self.config))
        except (ApiException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            if isinstance(error, ApiException):
                refused = "refuses the token" if error.status in NOT_ALLOWED else "answers"
                why = f"it {refused} ({error.status} {error.reason})"
            else:
                why = one_line(f"{type(error).__name__}: {error}").rstrip(".")
            raise ServiceUnreachable(
                f"Kubeflow at {where} did not {act}: {why}. Check the stack: "
                "python -m stacks.apply stacks/kubeflow.yaml --check"
            ) from error

    def _get_kfp_client(self, settings: Any) -> kfp.Client:
        """ZenML's client of Kubeflow, with the token that Kubeflow asks for; made once."""
        import kfp

        if self._client is not None:
            return self._client
        kfp.Client.get_kfp_healthz = _ask_once
        if self.config.kubeflow_token is not None:
            arguments = {**settings.client_args, "existing_token": self.config.kubeflow_token}
            settings = settings.model_copy(update={"client_args": arguments})
        self._client = super()._get_kfp_client(settings)
        return self._client

    def run_step(self, step: Step) -> None:
        """Make one attempt, in the step's container; Kubeflow makes the next one."""
        prepare_tracker()
        once = super().run_step
        attempt(lambda: once(step), step, orchestrator_run_id=self.get_orchestrator_run_id())

    def get_orchestrator_run_id(self) -> str:
        """The run of Kubeflow that this step is part of.

        Raises:
            RuntimeError: it is not carried by Kubeflow.
        """
        try:
            return os.environ[KUBEFLOW_RUN]
        except KeyError:
            raise RuntimeError(f"{KUBEFLOW_RUN} is not set: this is no step of a Kubeflow run") from None


def _ask_once(client: kfp.Client, sleep_duration: int = 0) -> Any:
    """How Kubeflow is, or at once why it does not say.

    A client asks this when it is made. kfp itself would ask a Kubeflow that refuses or is down five times,
    pause 5 s after each, and write five tracebacks.
    """
    return client._healthz_api.healthz_service_get_healthz()


def _last_changes(orchestrator: UUID) -> dict[UUID, datetime]:
    """When each of ZenML's schedules of an orchestrator was made, paused or resumed last, by its id."""
    from zenml.utils.pagination_utils import depaginate

    schedules = depaginate(Client().list_schedules, orchestrator_id=orchestrator)
    return {each.id: each.updated.replace(tzinfo=UTC) for each in schedules}


def _counted_from(schedule: Schedule, changed: datetime | None) -> Schedule:
    """A schedule with the later of when Kubeflow got it and when ZenML noted that it was changed."""
    since = max((at for at in (schedule.since, changed) if at is not None), default=None)
    return schedule.model_copy(update={"since": since})


def _says_absent(error: ApiException, run_id: str) -> bool:
    """Whether it is Kubeflow that says that it has no such run, and names it.

    The 404 of a proxy before it, or of another server at its address, says nothing of a run.
    """
    try:
        said = json.loads(error.body or "")
        return bool(said["code"] == GRPC_NOT_FOUND and run_id in str(said["message"]))
    except (ValueError, TypeError, KeyError):
        return False


def _open(environment: dict[str, str]) -> dict[str, str]:
    """What anyone may read of an environment that ZenML made for a step."""
    return {key: value for key, value in environment.items() if key not in CREDENTIALS}


def _failed_for_good(run_id: UUID) -> bool:
    """Whether ZenML knows the run as failed: Kubeflow would start a refused step again and again."""
    status = Client().get_pipeline_run(run_id, hydrate=False).status
    return status.is_finished and not status.is_successful


def _tell_steps(run: Any, told: set[str]) -> None:
    """Say each step that ended since, in one line."""
    tasks = (run.run_details.task_details if run.run_details else None) or []
    for task in tasks:
        if str(task.state) in ENDED and task.display_name not in told:
            told.add(task.display_name)
            logger.info("%s: %s", task.display_name, str(task.state).lower())
