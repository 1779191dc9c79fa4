"""A stack with the local orchestrator, its schedules in a folder of the test's own."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from zenml.enums import StackComponentType as Kind
from zenml.exceptions import EntityExistsError

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
