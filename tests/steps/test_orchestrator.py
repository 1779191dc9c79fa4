"""Which orchestrators speak this project's protocol."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from materializers.errors import UsageError
from steps.orchestrator import active_orchestrator, find_orchestrator
from tests.stacks.local_orchestrator.stack import make_stack

if TYPE_CHECKING:
    from zenml.client import Client


@pytest.mark.usefixtures("own_stack")
def test_zenmls_own_stack_keeps_no_schedules() -> None:
    """It says how to get one that does; nothing else is asked of it."""
    assert find_orchestrator() is None
    with pytest.raises(UsageError, match="make stack"):
        active_orchestrator()


def test_the_local_orchestrator_does(
    zenml_client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its schedules need a process on this machine to fire them."""
    monkeypatch.setenv("ZENML_ACTIVE_STACK_ID", str(make_stack(zenml_client, "protocol", tmp_path)))
    assert active_orchestrator().schedules() == []
    assert active_orchestrator().book() is not None
