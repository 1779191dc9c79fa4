"""Tell people of runs that failed and could not tell it themselves: killed, or dead before Python started."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from materializers.redaction import one_line
from steps.monitoring.failure import is_settled, settle, tell_of_lost_run, tell_once
from steps.orchestrator import find_orchestrator

if TYPE_CHECKING:
    from zenml.alerter.base_alerter import BaseAlerter
    from zenml.models import PipelineRunResponse

logger = logging.getLogger("shutterline")

NEWEST_RUNS = 20
SINCE = timedelta(days=7)
"""Older failures are history: telling of them now would wake nobody to any use."""

INTERRUPTION = "builtins.KeyboardInterrupt"
NO_PYTHON = "the container ended before Python started: look at its pod, its image and its node"
NO_REASON = "it ended without saying why: killed, out of memory, or before its own code ran"


def notify_failed_runs(model_name: str) -> list[str]:
    """Post one message for each failed run of this model that nobody was told of yet.

    Only the newest 20 failed runs of the last seven days are looked at. When all of them are settled it costs
    one list call.

    Runs of any schedule that ZenML knows nothing of are told, too. What keeps it from telling is logged: it
    never keeps a command from what it was asked.

    Returns:
        The names of the runs that this call told of; none where the stack has no alerter.
    """
    try:
        return [*_tell_of_failed(model_name), *_tell_of_lost()]
    except Exception as error:  # noqa: BLE001 - whatever it is, the command's own work is what counts
        logger.warning("Whether anybody was told of failed runs is not known: %s", one_line(str(error)))
        return []


def _tell_of_lost() -> list[str]:
    from zenml.client import Client

    orchestrator = find_orchestrator()
    lost = [] if orchestrator is None else orchestrator.unseen_failures(datetime.now(UTC) - SINCE)
    alerter = Client().active_stack.alerter if lost else None
    return [] if alerter is None else [run.name for run in lost if tell_of_lost_run(alerter, run)]


def _tell_of_failed(model_name: str) -> list[str]:
    from zenml.client import Client

    client = Client()
    page = client.list_pipeline_runs(
        tags=f"model:{model_name}",
        status="failed",
        created=f"gte:{datetime.now(UTC) - SINCE:%Y-%m-%d %H:%M:%S}",
        sort_by="desc:created",
        size=NEWEST_RUNS,
    )
    untold = [run for run in page if not is_settled(run)]
    alerter = client.active_stack.alerter if untold else None  # reading a stack imports its components
    if alerter is None:
        return []
    return [run.name for run in untold if _tell(alerter, client.get_pipeline_run(run.id))]


def _tell(alerter: BaseAlerter, run: PipelineRunResponse) -> bool:
    """Tell of one failed run, with the reason that ZenML recorded or what its steps let guess."""
    for step_run in run.steps.values():
        info = step_run.exception_info
        if info is not None and info.source == INTERRUPTION:
            settle(run)
            return False
        if info is not None:
            kind = (info.source or "").rpartition(".")[2]
            reason = info.message or ""
            return tell_once(alerter, run, step=step_run.name, kind=kind or None, reason=reason)
    for step_run in run.steps.values():
        if not step_run.status.is_successful:
            return tell_once(alerter, run, step=step_run.name, kind=None, reason=NO_REASON)
    return tell_once(alerter, run, step=None, kind=None, reason=NO_PYTHON)
