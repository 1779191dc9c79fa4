"""Look for what nobody else tells people of.

Runs that failed and could not tell it themselves, for they were killed or dead before Python started; runs
and deliveries that did not happen; approvals that wait; messages that no channel took when they were to be
told. Every command looks, and the scheduler each minute.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from materializers.redaction import one_line
from steps.monitoring.alerts.alert import tell_untold
from steps.monitoring.alerts.failure import (
    is_settled,
    look_for_recovery,
    report_failure,
    report_lost_run,
    settle,
)
from steps.monitoring.alerts.missing import look_for_missing_delivery, look_for_missing_runs
from steps.monitoring.alerts.waiting import look_for_waiting_approvals
from steps.monitoring.react import tell_of_rollbacks
from steps.orchestrator import find_orchestrator
from steps.run_tags import model_tag

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse

    from pipelines.config import Config

logger = logging.getLogger("shutterline")

NEWEST_RUNS = 20
SINCE = timedelta(days=7)
"""Older failures are history: telling of them now would wake nobody to any use."""

INTERRUPTION = "builtins.KeyboardInterrupt"
NO_PYTHON = "the container ended before Python started: look at its pod, its image and its node"
NO_REASON = "it ended without saying why: killed, out of memory, or before its own code ran"


def look_around(config: Config, *, registry: bool = True, now: datetime | None = None) -> None:
    """Look for whatever people are to be told of, tell it, and end the alerts that are over.

    What keeps it from looking is logged: it never keeps a command from what it was asked.

    Args:
        config: names the model, and says how often deliveries come.
        registry: whether to look at versions, too; False where nobody should wait for a registry.
        now: the time, with its zone; None: the clock's.
    """
    name, moment = config.product.model, now or datetime.now(UTC)
    interval = config.validate_.freshness.delivery_interval.limit
    source = config.product.source.name
    notify_failed_runs(name, now=now)
    looks: dict[str, Callable[[], object]] = {
        "Whether people were told": lambda: tell_untold(name, now=moment),
        "Whether runs end well again": lambda: look_for_recovery(name, now=moment),
        "Whether a release was put back": lambda: tell_of_rollbacks(name, now=moment),
        "Whether runs are missing": lambda: look_for_missing_runs(name, now=moment),
        "Whether a delivery is missing": lambda: look_for_missing_delivery(
            name, source, hours=interval, now=moment
        ),
        "Whether approvals wait": lambda: look_for_waiting_approvals(name, now=moment) if registry else None,
    }
    said: set[str] = set()
    for what, look in looks.items():
        try:
            look()
        except Exception as error:  # noqa: BLE001 - whatever it is, the command's own work is what counts
            if str(error) not in said:
                logger.warning("%s is not known: %s", what, one_line(str(error)))
            said.add(str(error))


def notify_failed_runs(model_name: str, *, now: datetime | None = None) -> list[str]:
    """Report each failed run of this model that nobody reported yet: one alert for what fails alike.

    Only the newest 20 failed runs of the last seven days are looked at. When all of them are settled it costs
    one list call.

    Runs of any schedule that ZenML knows nothing of are told, too. What keeps it from telling is logged: it
    never keeps a command from what it was asked.

    Returns:
        The names of the runs that this call reported; none where the stack has no alerter.
    """
    try:
        moment = now or datetime.now(UTC)
        return [*_tell_of_failed(model_name, moment), *_tell_of_lost(model_name, moment)]
    except Exception as error:  # noqa: BLE001 - whatever it is, the command's own work is what counts
        logger.warning("Whether anybody was told of failed runs is not known: %s", one_line(str(error)))
        return []


def _tell_of_lost(model_name: str, now: datetime) -> list[str]:
    from zenml.client import Client

    orchestrator = find_orchestrator()
    lost = [] if orchestrator is None else orchestrator.unseen_failures(now - SINCE)
    alerter = Client().active_stack.alerter if lost else None
    return [] if alerter is None else [run.name for run in lost if report_lost_run(run, model_name, now=now)]


def _tell_of_failed(model_name: str, now: datetime) -> list[str]:
    from zenml.client import Client

    client = Client()
    page = client.list_pipeline_runs(
        tags=model_tag(model_name),
        status="failed",
        created=f"gte:{now - SINCE:%Y-%m-%d %H:%M:%S}",
        sort_by="desc:created",
        size=NEWEST_RUNS,
    )
    untold = [run for run in page if not is_settled(run)]
    alerter = client.active_stack.alerter if untold else None  # reading a stack imports its components
    if alerter is None:
        return []
    # The oldest first: people are told of that with which it began.
    return [run.name for run in reversed(untold) if _tell(client.get_pipeline_run(run.id), now)]


def _tell(run: PipelineRunResponse, now: datetime) -> bool:
    """Tell of one failed run, with the reason that ZenML recorded or what its steps let guess."""
    for step_run in run.steps.values():
        info = step_run.exception_info
        if info is not None and info.source == INTERRUPTION:
            settle(run)
            return False
        if info is not None:
            kind = (info.source or "").rpartition(".")[2]
            reason = info.message or ""
            return report_failure(run, step=step_run.name, kind=kind or None, reason=reason, now=now)
    for step_run in run.steps.values():
        if not step_run.status.is_successful:
            return report_failure(run, step=step_run.name, kind=None, reason=NO_REASON, now=now)
    return report_failure(run, step=None, kind=None, reason=NO_PYTHON, now=now)
