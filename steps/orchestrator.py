"""How pipelines and actions speak to the orchestrator of the active stack, whichever it is."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, cast

from materializers.carried_run import LostRun
from materializers.errors import UsageError
from materializers.schedule import Schedule, ScheduledCommand, Terms

if TYPE_CHECKING:
    from datetime import datetime

    from zenml.models import PipelineRunResponse, PipelineSnapshotResponse


class ScheduleBook(Protocol):
    """The schedules of an orchestrator that needs a process to fire them."""

    def rows(self) -> tuple[ScheduledCommand, ...]:
        """Every schedule.

        Raises:
            DamagedArtifact: they cannot be understood.
            ServiceUnreachable: they cannot be read.
        """

    def stamp(self) -> object:
        """What differs after every change."""

    def begin(self, name: str) -> ScheduledCommand | None:
        """Note durably that a schedule fires now; None where it was paused or removed meanwhile.

        Raises:
            ServiceUnreachable: it cannot be noted.
        """

    def leave_out(self, name: str) -> None:
        """Note that whatever a schedule was due until now is left out.

        Raises:
            ServiceUnreachable: it cannot be noted.
        """

    def finish(self, name: str, exit_code: int) -> None:
        """Note that the run of a fire has ended.

        Raises:
            ServiceUnreachable: it cannot be noted.
        """

    def claim(self) -> AbstractContextManager[None]:
        """Be the one process that fires them.

        Raises:
            UsageError: another process is.
        """

    def holder(self) -> int | None:
        """The process that fires them; None where none does."""


class Orchestrator(Protocol):
    """What every orchestrator of this project does beside running pipelines.

    A pipeline that is started with a schedule is not run: it is kept under the name that its ``extra`` has
    as ``SCHEDULE_KEY``, in the place of what had that name. ``COMMAND_KEY`` has the arguments of run.py,
    ``TERMS_KEY`` how it is fired.
    """

    def check_terms(self, terms: Terms) -> None:
        """Refuse what whoever fires the schedules would do otherwise.

        Raises:
            UsageError: it cannot fire a schedule so.
        """

    def schedules(self) -> list[Schedule]:
        """Every schedule, by name.

        Raises:
            ServiceUnreachable: they cannot be read.
        """

    def pause(self, name: str, paused: bool = True) -> None:
        """Pause a schedule, or resume it.

        Raises:
            UsageError: there is none of this name; those there are, are named.
            ServiceUnreachable: it cannot be changed.
        """

    def remove(self, name: str) -> None:
        """Remove a schedule; a run that it started goes on.

        Raises:
            UsageError: there is none of this name; those there are, are named.
            ServiceUnreachable: it cannot be changed.
        """

    def book(self) -> ScheduleBook | None:
        """What a scheduler process on this machine has to fire; None where the orchestrator fires itself."""

    def ended(self, run: PipelineRunResponse) -> bool:
        """Whether nobody carries a run any more that ZenML has as unfinished; False where that is not known.

        Raises:
            ServiceUnreachable: whoever carries it does not answer.
        """

    def unseen_failures(self, since: datetime) -> list[LostRun]:
        """Runs of schedules that failed since then and that ZenML knows nothing of.

        Raises:
            ServiceUnreachable: whoever carries them does not answer.
        """

    def signing_environment(self) -> dict[str, str]:
        """The variables that lead to the private keys on this machine; none where each person has a key."""

    def bring(self, source: str) -> str:
        """The address of a delivery that the steps can read; what only this machine can read is copied.

        Raises:
            ServiceUnreachable: it cannot be copied.
        """

    def compiled(self, snapshot: PipelineSnapshotResponse) -> str:
        """What whoever carries the runs would be given for a snapshot, as text; nothing is started.

        Raises:
            UsageError: steps run in the calling process, so that nothing is compiled.
        """


def find_orchestrator() -> Orchestrator | None:
    """The orchestrator of the active stack; None where it is none of this project's."""
    from zenml.client import Client

    component = Client().active_stack.orchestrator
    return cast(Orchestrator, component) if hasattr(component, "ended") else None


def active_orchestrator() -> Orchestrator:
    """The orchestrator of the active stack.

    Raises:
        UsageError: it is none of this project's.
    """
    found = find_orchestrator()
    if found is None:
        raise UsageError(
            "The active stack's orchestrator keeps no schedules and compiles nothing. In the project folder: "
            "make stack, or zenml stack set NAME; in any other: --stack NAME"
        )
    return found
