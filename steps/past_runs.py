"""The runs of a pipeline for one model, as ZenML lists them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from materializers.errors import Refused
from materializers.release import Environment
from steps.orchestrator import find_orchestrator
from steps.run_tags import environment_tag, model_tag

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse

PAGE_SIZE = 100
FORGOTTEN_AFTER = timedelta(days=1)
"""A run that is open for longer, and of which nobody here can say that it ended, keeps no other one back."""
LOOK_S = 10.0
"""Between two looks at an earlier run that is waited for."""

logger = logging.getLogger("shutterline")


def past_runs(
    model_name: str, pipeline: str, *, since: datetime, environment: Environment | None = None
) -> Iterator[PipelineRunResponse]:
    """Those that were created since then, with their steps, the newest first.

    Args:
        model_name: the registered model.
        pipeline: its name.
        since: the first moment, with its time zone.
        environment: the one that they are tagged with; None: whichever.
    """
    from zenml.client import Client

    tags = [model_tag(model_name), *([environment_tag(environment)] if environment else [])]
    number, pages = 1, 1
    while number <= pages:
        page = Client().list_pipeline_runs(
            tags=tags,
            pipeline_name=pipeline,
            created=f"gte:{since.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
            sort_by="desc:created",
            page=number,
            size=PAGE_SIZE,
            hydrate=True,
        )
        yield from page.items
        number, pages = number + 1, page.total_pages


def wait_for_earlier(model_name: str, *, patience_s: float) -> None:
    """Let only the earliest of the runs that are going take something in: two would join the same parent.

    Called by a step that joins data, for the run of its pipeline that it is part of. Runs that one machine
    starts wait for each other before; these were started on two, or by two schedules of a cluster. ZenML's
    store says which began first, so that of two in the same second one goes on.

    Args:
        model_name: the registered model.
        patience_s: how long an earlier run is waited for.

    Raises:
        Refused: an earlier run of this pipeline for this model goes on for longer.
        ServiceUnreachable: whoever carries that run does not answer.
    """
    from zenml import get_step_context

    try:
        this = get_step_context().pipeline_run
    except RuntimeError:  # outside of a step there is no run, and none that another one is beside
        return
    until, told = time.monotonic() + patience_s, False
    while (earlier := _earlier_open(this, model_name)) is not None:
        began = f"{earlier.created:%Y-%m-%d %H:%M} UTC"
        going = f"Run {earlier.name} for {model_name} began on {began} and is going"
        if time.monotonic() >= until:
            raise Refused(
                f"{going}. Two at once would join the same data twice, so this one took nothing in: what it "
                "was to take is where it was. Once the other has ended, give the same command again."
            )
        if not told:
            logger.info("%s: this one goes on after it", going)
            told = True
        time.sleep(min(LOOK_S, max(until - time.monotonic(), 0)))


def _earlier_open(this: PipelineRunResponse, model_name: str) -> PipelineRunResponse | None:
    """A run of the same pipeline and model that began before this one, and may be going."""
    pipeline = this.pipeline.name if this.pipeline else ""
    orchestrator = find_orchestrator()
    for run in past_runs(model_name, pipeline, since=datetime.now(UTC) - FORGOTTEN_AFTER):
        earlier = (run.created, str(run.id)) < (this.created, str(this.id))
        if earlier and not run.status.is_finished and not (orchestrator and orchestrator.ended(run)):
            return run
    return None
