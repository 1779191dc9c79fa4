"""Tell people that runs fail: each failure once while it lasts, and once when a run ended well again.

The failure hook of the step that failed raises the alert, after the last retry; where no Python ran that
could, the next command that finds the run failed does. The same step of the same pipeline that fails in the
same way goes on failing: a schedule that fails every five minutes is one message, not one a run.

Each run is reported once. Who wants to report it *claims* it first, by making the tag ``notified-<run id>``:
names of tags are unique in ZenML's store, so that one of two succeeds, on any machine. The claim is *settled*
once the alert is written down: the tag is attached to the run, or, where ZenML has no run to attach it to, a
second tag ``told-<run id>`` is made. Where it could neither be written down nor told, the claim is given back
and the next finder tries. A claim that nobody settles belongs to a process that was killed in between, and
lapses after ``CLAIM_LAPSES_AFTER``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from materializers.alert import Alert, Severity
from materializers.redaction import one_line
from steps.monitoring.alerts.alert import clear_alert, keep_alert, open_of, where_to_look
from steps.run_tags import model_tag, models_of

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse, TagResponse

    from materializers.carried_run import LostRun

logger = logging.getLogger("shutterline")

CLAIM_LAPSES_AFTER = timedelta(minutes=10)
"""Well above what posting takes, and what the clocks of the cluster's machines are apart."""
RUN_FAILED = "run_failed"
SEVERITY: Severity = "warning"
"""Of a failed run: who is asleep is not woken by it."""
NO_CONTAINER = "no container started Python"
"""How a run failed that ZenML does not know."""


def notify_failure(exception: BaseException) -> None:
    """ZenML's ``on_failure`` hook: tell of the step that just failed, by the active stack's alerter.

    An interruption is what somebody at the terminal wanted, and is told to nobody. Without an alerter
    nothing happens. Nothing is raised: the step's own fault is what counts.
    """
    from zenml import get_step_context
    from zenml.client import Client

    try:
        context = get_step_context()
        run = context.pipeline_run
        if Client().active_stack.alerter is None:
            return
        if isinstance(exception, KeyboardInterrupt):
            settle(run)
        else:
            kind = type(exception).__name__
            report_failure(run, step=context.step_run.name, kind=kind, reason=str(exception))
    except Exception as error:  # noqa: BLE001 - whatever it is, the step's own fault is what is to be seen
        logger.warning("Whether anybody was told of the failed step is not known: %s", one_line(str(error)))


def report_failure(
    run: PipelineRunResponse,
    *,
    step: str | None,
    kind: str | None,
    reason: str,
    now: datetime | None = None,
) -> bool:
    """Raise the alert on a run that failed, unless that was done or is being done.

    Args:
        run: that failed.
        step: the step that failed, where that is known.
        kind: the name of the exception's class, where there is one.
        reason: why, in any form; it is told redacted, on one line.
        now: the time, with its zone; None: the clock's.

    Returns:
        Whether this call did, so that people know that this goes on, or will.
    """
    claim = _claim_run(run)
    if claim is None:
        return False
    pipeline = run.pipeline.name if run.pipeline is not None else "(unnamed)"
    alert = Alert(
        name=RUN_FAILED,
        severity=SEVERITY,
        model_name=_model_of(run),
        subject=", ".join(filter(None, (_of(pipeline), step and f"step {step}", kind))),
        reasons=(said_of(run.name), ": ".join(part for part in (kind, reason) if part)),
        link=where_to_look(run),
    )
    kept = _keep(alert, claim, now)
    if kept:
        _attach(run, claim)
    return kept


def report_lost_run(lost: LostRun, model_name: str, *, now: datetime | None = None) -> bool:
    """Raise the alert on a run that ZenML does not know, unless that was done or is being done.

    Args:
        lost: that failed.
        model_name: whom it is told among the alerts of: nobody knows whose run it was.
        now: the time, with its zone; None: the clock's.

    Returns:
        Whether this call did, so that people know that this goes on, or will.
    """
    from zenml.client import Client
    from zenml.exceptions import EntityExistsError

    told = f"told-{lost.id}"
    claim = _claim(_tag_name(lost.id), lambda: _find_tag(told) is not None)
    if claim is None:
        return False
    alert = Alert(
        name=RUN_FAILED,
        severity=SEVERITY,
        model_name=model_name,
        subject=f"{_of(lost.pipeline)}, {NO_CONTAINER}",
        reasons=(
            f"{said_of(lost.name)}, of its schedule",
            "No container of it started Python: look at its pod, its image and its secrets",
        ),
    )
    kept = _keep(alert, claim, now)
    if kept:
        with suppress(EntityExistsError):  # it took so long that the claim lapsed and another told it
            Client().create_tag(told)
    return kept


def look_for_recovery(model_name: str, *, now: datetime) -> list[str]:
    """End the alerts on failed runs of each pipeline of which a run ended well since they were raised last.

    Args:
        model_name: the registered model.
        now: the time, with its zone.

    Returns:
        The pipelines that run again.

    Raises:
        ServiceUnreachable: the alerts cannot be read.
    """
    failing: dict[str, list[str]] = {}
    last: dict[str, datetime] = {}
    for state in open_of(RUN_FAILED, model_name):
        subject = state.alert.subject or ""
        pipeline = subject.partition(",")[0].removeprefix(_of(""))
        failing.setdefault(pipeline, []).append(subject)
        last[pipeline] = max(state.last, last.get(pipeline, state.last))
    ended = {pipeline: _ended_well(pipeline, model_name, since=last[pipeline]) for pipeline in failing}
    for pipeline, run in ended.items():
        if run is not None:
            clear_alert(
                RUN_FAILED, model_name, subject=failing[pipeline], reason=f"Run {run} ended well.", now=now
            )
    return [pipeline for pipeline, run in ended.items() if run is not None]


def _ended_well(pipeline: str, model_name: str, *, since: datetime) -> str | None:
    """The name of a run of a pipeline for a model that ended well after ``since``; None: there is none."""
    from zenml.client import Client

    page = Client().list_pipeline_runs(
        pipeline_name=pipeline,
        tags=model_tag(model_name),
        status="completed",
        sort_by="desc:created",
        size=1,
        hydrate=True,
    )
    for run in page.items:
        if run.end_time is not None and run.end_time.replace(tzinfo=UTC) > since:
            return str(run.name)
    return None


def _keep(alert: Alert, claim: TagResponse, now: datetime | None) -> bool:
    """Raise what was claimed, and give the claim back where it is neither written down nor told."""
    from zenml.client import Client

    kept = False
    try:
        kept = keep_alert(alert, now=now)
    finally:
        if not kept:
            Client().zen_store.delete_tag(claim.id)
    return kept


def settle(run: PipelineRunResponse) -> None:
    """Mark a failed run as one that nobody needs to be told of."""
    claim = _claim_run(run)
    if claim is not None:
        _attach(run, claim)


def is_settled(run: PipelineRunResponse) -> bool:
    """Whether the run, as it was read, says that it was told."""
    return any(tag.name == _tag_name(run.id) for tag in run.tags)


def said_of(run: str) -> str:
    """The first reason of an alert on a failed run."""
    return f"Run {run} failed"


def tells_of(line: str, run: str) -> bool:
    """Whether a line of the log is an alert on this failed run."""
    return line.startswith(f"{RUN_FAILED} (") and said_of(run) in line


def _of(pipeline: str) -> str:
    """How what an alert is about begins."""
    return f"pipeline {pipeline}"


def _model_of(run: PipelineRunResponse) -> str:
    """The model that a run is about, by its tag."""
    return next(iter(models_of(tag.name for tag in run.tags)), "no-model")


def _tag_name(run_id: UUID | str) -> str:
    return f"notified-{run_id}"


def _find_tag(name: str) -> TagResponse | None:
    from zenml.client import Client

    try:
        return Client().get_tag(name, allow_name_prefix_match=False)
    except KeyError:
        return None


def _claim_run(run: PipelineRunResponse) -> TagResponse | None:
    """Claim a run that ZenML knows."""
    from zenml.client import Client

    return _claim(_tag_name(run.id), lambda: is_settled(Client().get_pipeline_run(run.id)))


def _claim(name: str, settled: Callable[[], bool]) -> TagResponse | None:
    """The tag, where this call made it: then, and only then, telling is up to the caller.

    Args:
        name: of the tag.
        settled: whether an old claim of this name was settled.
    """
    from zenml.client import Client
    from zenml.exceptions import EntityExistsError

    client = Client()
    try:
        return client.create_tag(name)
    except EntityExistsError:
        if not _lapsed(name, settled):
            return None
    try:
        return client.create_tag(name)
    except EntityExistsError:
        return None  # another finder saw it lapse, too


def _lapsed(name: str, settled: Callable[[], bool]) -> bool:
    """Remove a claim whose process was killed; True where it was this call that removed it."""
    from zenml.client import Client
    from zenml.utils.time_utils import utc_now

    claim = _find_tag(name)
    if claim is None:
        return False  # given back this moment: whoever gave it back has said why in the log
    age = utc_now(tz_aware=claim.created) - claim.created
    if age < CLAIM_LAPSES_AFTER or settled():
        return False
    try:
        Client().zen_store.delete_tag(claim.id)  # by id: a claim made anew since then is another tag
    except KeyError:
        return False
    return True


def _attach(run: PipelineRunResponse, claim: TagResponse) -> None:
    from zenml.client import Client
    from zenml.enums import TaggableResourceTypes
    from zenml.models import TagResource

    resource = TagResource(id=run.id, type=TaggableResourceTypes.PIPELINE_RUN)
    Client().attach_tag(claim.name, [resource])
