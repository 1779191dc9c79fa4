"""A run of ZenML: the process that carries it, and how it ends where nobody carries it to its end."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psutil

from materializers.report import Record

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse

PROCESS_KEY = "process"
"""Where a run's ``extra`` records the process that carries it."""
SAME_START_S = 1.0
"""How far two readings of a process's start time may be apart."""


class LostRun(Record):
    """A run that whoever carries it knows as failed, and ZenML not at all."""

    id: str
    name: str
    pipeline: str


def this_process() -> dict[str, Any]:
    """Host, process id and start time (seconds since the epoch) of this process."""
    process = psutil.Process()
    return {"host": socket.gethostname(), "pid": process.pid, "started": process.create_time()}


def is_dead(process: dict[str, Any]) -> bool:
    """Whether a recorded process is known to be gone; one on another host never is."""
    if process.get("host") != socket.gethostname():
        return False
    try:
        started = psutil.Process(int(process["pid"])).create_time()
    except psutil.NoSuchProcess:
        return True
    return abs(started - float(process["started"])) > SAME_START_S


def is_carried_by(run: PipelineRunResponse, orchestrator: UUID) -> bool:
    """Whether the orchestrator with this id was given a run."""
    from zenml.enums import StackComponentType

    carriers = run.stack.components.get(StackComponentType.ORCHESTRATOR, []) if run.stack else []
    return any(carrier.id == orchestrator for carrier in carriers)


def end_as_failed(run_id: UUID) -> None:
    """End a run that is open as failed, with the steps that are open.

    ZenML's store makes ``retrying`` of a failed step that has attempts left, whoever says that it failed. The
    one word by which it takes those attempts back is ``stopped``, and a step that is stopped stops its run
    where that has not failed before. So the run ends first, as failed, and such a step as stopped; any other
    step ends as failed.
    """
    from zenml.client import Client
    from zenml.enums import ExecutionStatus
    from zenml.models import PipelineRunUpdate, StepRunUpdate
    from zenml.utils.pagination_utils import depaginate
    from zenml.utils.time_utils import utc_now

    client = Client()
    steps = depaginate(client.list_run_steps, pipeline_run_id=run_id, exclude_retried=True)
    if not client.get_pipeline_run(run_id, hydrate=False).status.is_finished:
        client.zen_store.update_run(run_id, PipelineRunUpdate(status=ExecutionStatus.FAILED))
    for step_run in steps:
        if not step_run.status.is_finished:
            status = ExecutionStatus.STOPPED if step_run.is_retriable else ExecutionStatus.FAILED
            client.zen_store.update_run_step(step_run.id, StepRunUpdate(status=status, end_time=utc_now()))
