"""ZenML's local orchestrator that repeats faults alone and keeps schedules."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from zenml.client import Client
from zenml.models import ScheduleUpdate
from zenml.orchestrators import SubmissionResult
from zenml.orchestrators.local.local_orchestrator import LocalOrchestrator

from materializers.carried_run import PROCESS_KEY, LostRun, is_carried_by, is_dead
from materializers.errors import UsageError
from materializers.schedule import (
    COMMAND_KEY,
    SCHEDULE_KEY,
    TERMS_KEY,
    Schedule,
    ScheduledCommand,
    Terms,
)
from materializers.signatures import ACTOR_KEY, GATE_KEY
from stacks.local_orchestrator.flavor import ShutterlineLocalOrchestratorConfig
from stacks.local_orchestrator.schedule_file import ScheduleFile
from stacks.retries import attempt_again
from stacks.tracking import prepare_tracker

if TYPE_CHECKING:
    from zenml.config.step_configurations import Step
    from zenml.models import PipelineRunResponse, PipelineSnapshotResponse, ScheduleResponse
    from zenml.stack import Stack


class ShutterlineLocalOrchestrator(LocalOrchestrator):
    """Runs steps in the calling process; keeps schedules for ``run.py --scheduler`` to fire.

    The rows of the schedule file are what is fired; ZenML's list of schedules echoes them.
    """

    @property
    def config(self) -> ShutterlineLocalOrchestratorConfig:
        """The settings."""
        return cast(ShutterlineLocalOrchestratorConfig, self._config)

    def book(self) -> ScheduleFile:
        """The rows, for the process that fires them."""
        return ScheduleFile(self.config.schedule_folder)

    # Runs

    def submit_pipeline(
        self,
        snapshot: PipelineSnapshotResponse,
        stack: Stack,
        base_environment: dict[str, str],
        step_environments: dict[str, dict[str, str]],
        placeholder_run: PipelineRunResponse | None = None,
    ) -> SubmissionResult | None:
        """Run the pipeline to its end; one with a schedule is written down instead.

        Raises:
            UsageError: it has a schedule and no command that could be repeated, or no cron expression.
            ServiceUnreachable: the schedule cannot be written.
            Exception: what a step raised.
        """
        if snapshot.schedule is None:
            return super().submit_pipeline(
                snapshot, stack, base_environment, step_environments, placeholder_run
            )
        try:
            replaced = self.book().put(_row(snapshot, stack.name))
        except Exception:
            _forget(snapshot.schedule.id)
            raise
        if replaced is not None:
            _forget(replaced.zenml)
        return None

    def run_step(self, step: Step) -> None:
        """Run a step, and again after a fault, as its retries say.

        Raises:
            BaseException: what its last attempt raised.
        """
        prepare_tracker()
        once = super().run_step
        attempt_again(lambda: once(step), step, orchestrator_run_id=self.get_orchestrator_run_id())

    def ended(self, run: PipelineRunResponse) -> bool:
        """Whether the process that carried a run of this orchestrator, on this machine, is gone."""
        process: dict[str, Any] | None = run.config.extra.get(PROCESS_KEY)
        return process is not None and is_carried_by(run, self.id) and is_dead(process)

    def signing_environment(self) -> dict[str, str]:
        """The variables that lead to the private keys of this machine."""
        keys = {GATE_KEY: self.config.gate_key, ACTOR_KEY: self.config.actor_key}
        return {variable: str(Path(path).expanduser()) for variable, path in keys.items() if path}

    def bring(self, source: str) -> str:
        """The address of a delivery that the steps can read: they read what this process can."""
        return source

    def unseen_failures(self, since: datetime) -> list[LostRun]:
        """None: ZenML knows of every run before a step of it begins."""
        return []

    def compiled(self, snapshot: PipelineSnapshotResponse) -> str:
        """Refuse: there is nothing to compile.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            "The steps of the active stack run in the calling process, so that nothing is compiled: choose "
            "another one, such as --stack kubeflow"
        )

    # Schedules

    def check_terms(self, terms: Terms) -> None:
        """Refuse nothing: ``run.py --scheduler`` knows every time zone and policy."""

    def schedules(self) -> list[Schedule]:
        """Every schedule of this machine, by name."""
        return [row.as_schedule() for row in self.book().rows()]

    def pause(self, name: str, paused: bool = True) -> None:
        """Pause a schedule, or resume it.

        Raises:
            UsageError: there is none of this name.
        """
        row = self.book().pause(name, paused)
        if row.zenml is not None:
            with suppress(KeyError):  # somebody deleted it in ZenML's store
                Client().zen_store.update_schedule(row.zenml, ScheduleUpdate(active=not paused))

    def remove(self, name: str) -> None:
        """Remove a schedule; a run that it started goes on.

        Raises:
            UsageError: there is none of this name.
        """
        _forget(self.book().remove(name).zenml)

    def update_schedule(self, schedule: ScheduleResponse, update: ScheduleUpdate) -> None:
        """What ``zenml pipeline schedule update``, ``activate`` and ``deactivate`` change, here too."""
        row = self._row_of(schedule)
        if row is not None and update.cron_expression is not None:
            self.book().change_cron(row.name, update.cron_expression)
        if row is not None and update.active is not None:
            self.book().pause(row.name, not update.active)

    def delete_schedule(self, schedule: ScheduleResponse) -> None:
        """What ``zenml pipeline schedule delete`` deletes, here too."""
        row = self._row_of(schedule)
        if row is not None:
            self.book().remove(row.name)

    def _row_of(self, schedule: ScheduleResponse) -> ScheduledCommand | None:
        return next((row for row in self.book().rows() if row.zenml == schedule.id), None)


def _row(snapshot: PipelineSnapshotResponse, stack: str) -> ScheduledCommand:
    """What is to be repeated, from a pipeline that was compiled with a schedule.

    Raises:
        UsageError: it was not scheduled by run.py, or has no cron expression.
    """
    configured = snapshot.pipeline_configuration
    command, name = configured.extra.get(COMMAND_KEY), configured.extra.get(SCHEDULE_KEY)
    schedule = snapshot.schedule
    if command is None or name is None or schedule is None or schedule.cron_expression is None:
        raise UsageError(
            f"Pipeline {configured.name} has a schedule that says nothing to repeat: schedule it with "
            'python run.py … --schedule "0 2 * * 1"'
        )
    return ScheduledCommand(
        **dict(Terms.model_validate(configured.extra.get(TERMS_KEY, {}))),
        name=name,
        pipeline=configured.name,
        cron=schedule.cron_expression,
        command=tuple(command),
        stack=stack,
        directory=str(Path.cwd()),
        since=datetime.now(UTC),
        zenml=schedule.id,
    )


def _forget(schedule: UUID | None) -> None:
    if schedule is not None:
        with suppress(KeyError):  # somebody deleted it in ZenML's store
            Client().zen_store.delete_schedule(schedule, soft=False)
