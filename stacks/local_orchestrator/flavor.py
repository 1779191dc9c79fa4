"""The ZenML flavor ``shutterline-local`` and its settings."""

from __future__ import annotations

from pathlib import Path

from pydantic import ConfigDict
from zenml.config.global_config import GlobalConfiguration
from zenml.orchestrators import BaseOrchestrator, BaseOrchestratorFlavor
from zenml.orchestrators.local.local_orchestrator import LocalOrchestratorConfig


class ShutterlineLocalOrchestratorConfig(LocalOrchestratorConfig):
    """Where the local orchestrator keeps its schedules, and the keys that are signed with on this machine.

    Attributes:
        schedules: the folder of ``schedules.json`` and its locks. None: below ZenML's configuration.
        gate_key: the PEM file with the gate's private key; None: the caller's environment names one.
        actor_key: the same of whoever acts.
    """

    model_config = ConfigDict(extra="forbid")

    schedules: str | None = None
    gate_key: str | None = None
    actor_key: str | None = None

    @property
    def schedule_folder(self) -> Path:
        """The folder of the schedules, absolute."""
        if self.schedules is not None:
            return Path(self.schedules).expanduser().resolve()
        return Path(GlobalConfiguration().config_directory).resolve() / "shutterline" / "schedules"

    @property
    def is_schedulable(self) -> bool:
        """It keeps schedules; ``run.py --scheduler`` fires them."""
        return True

    @property
    def handles_step_retries(self) -> bool:
        """It repeats faults itself: ZenML's loop would repeat refusals, too."""
        return True


class ShutterlineLocalOrchestratorFlavor(BaseOrchestratorFlavor):
    """Steps in the calling process, one after the other; schedules as rows of a JSON file."""

    @property
    def name(self) -> str:
        """The name that stacks use."""
        return "shutterline-local"

    @property
    def config_class(self) -> type[ShutterlineLocalOrchestratorConfig]:
        """The settings."""
        return ShutterlineLocalOrchestratorConfig

    @property
    def implementation_class(self) -> type[BaseOrchestrator]:
        """The orchestrator."""
        from stacks.local_orchestrator.orchestrator import ShutterlineLocalOrchestrator

        return ShutterlineLocalOrchestrator
