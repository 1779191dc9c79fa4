"""Stacks with the local orchestrator, their schedules in a folder of the test's own."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from zenml.enums import StackComponentType as Kind
from zenml.exceptions import EntityExistsError

from stacks.local_orchestrator.schedule_file import ScheduleFile

if TYPE_CHECKING:
    from zenml.client import Client

FLAVOR = "stacks.local_orchestrator.flavor.ShutterlineLocalOrchestratorFlavor"


def make_stack(client: Client, name: str, folder: Path) -> UUID:
    """Register it, with ZenML's default artifact store, and give its id; it is not made the active one."""
    from pipelines.session import prepare

    prepare(None)
    with suppress(EntityExistsError):
        client.create_flavor(FLAVOR, Kind.ORCHESTRATOR)
    made = client.create_stack_component(
        name, "shutterline-local", Kind.ORCHESTRATOR, {"schedules": str(folder)}
    )
    stack = client.create_stack(name, {Kind.ORCHESTRATOR: made.id, Kind.ARTIFACT_STORE: "default"})
    return stack.id


def make_scheduled_stack(client: Client, name: str, folder: Path) -> ScheduleFile:
    """Register a stack like the active one, but for its schedules, and give these; it is not made active."""
    parts = client.active_stack_model.components
    present = parts[Kind.ORCHESTRATOR][0].configuration  # with the keys that sign
    made = client.create_stack_component(
        name, "shutterline-local", Kind.ORCHESTRATOR, {**present, "schedules": str(folder)}
    )
    client.create_stack(name, {**{kind: parts[kind][0].id for kind in parts}, Kind.ORCHESTRATOR: made.id})
    return ScheduleFile(folder)
