"""Tell people that a run failed: once a run, by whoever is first to find it out.

The failure hook of the step that failed tells it, after the last retry; where no Python ran that could, the
next command that finds the run failed does. Who wants to tell it *claims* it first, by making the tag
``notified-<run id>``: names of tags are unique in ZenML's store, so that one of two succeeds, on any machine.
The claim is *settled* once the message was taken: the tag is attached to the run, or, where ZenML has no run
to attach it to, a second tag ``told-<run id>`` is made. Where the message was not taken, the claim is given
back and the next finder tries. A claim that nobody settles belongs to a process that was killed in between,
and lapses after ``CLAIM_LAPSES_AFTER``. So a message is sent at least once, and twice only where a process is
killed between the target's answer and the store's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from materializers.alert import Severity
from materializers.redaction import one_line
from steps.monitoring.alert import alert_settings, short_line, where_to_look

if TYPE_CHECKING:
    from zenml.alerter.base_alerter import BaseAlerter
    from zenml.models import PipelineRunResponse, TagResponse

    from materializers.carried_run import LostRun

logger = logging.getLogger("shutterline")

CLAIM_LAPSES_AFTER = timedelta(minutes=10)
"""Well above what posting takes, and what the clocks of the cluster's machines are apart."""
SEVERITY: Severity = "warning"
"""Of a failed run: who is asleep is not woken by it."""


def notify_failure(exception: BaseException) -> None:
    """ZenML's ``on_failure`` hook: tell of the step that just failed, by the active stack's alerter.

    An interruption is what somebody at the terminal wanted, and is told to nobody. Without an alerter
    nothing happens; in quiet hours it is left to the first look after them. Nothing is raised: the step's
    own fault is what counts.
    """
    from zenml import get_step_context
    from zenml.client import Client

    try:
        context = get_step_context()
        run, alerter = context.pipeline_run, Client().active_stack.alerter
        if alerter is None:
            return
        if isinstance(exception, KeyboardInterrupt):
            settle(run)
        elif held_back(datetime.now(UTC)):
            logger.info("Held back until %s: run %s failed", alert_settings().held_until, run.name)
        else:
            kind = type(exception).__name__
            tell_once(alerter, run, step=context.step_run.name, kind=kind, reason=str(exception))
    except Exception as error:  # noqa: BLE001 - whatever it is, the step's own fault is what is to be seen
        logger.warning("Whether anybody was told of the failed step is not known: %s", one_line(str(error)))


def held_back(now: datetime) -> bool:
    """Whether people want to be told of no failed run at this moment."""
    return alert_settings().holds(SEVERITY, now)


def tell_once(
    alerter: BaseAlerter, run: PipelineRunResponse, *, step: str | None, kind: str | None, reason: str
) -> bool:
    """Post one message about a failed run, unless that was done or is being done.

    Args:
        alerter: the active stack's.
        run: the run that failed.
        step: the step that failed, where that is known.
        kind: the name of the exception's class, where there is one.
        reason: why, in any form; it is posted redacted, on one line.

    Returns:
        Whether this call posted it and the alerter says that it arrived.
    """
    claim = _claim_run(run)
    if claim is None:
        return False
    taken = _post(alerter, claim, _message(run, step, kind, reason))
    if taken:
        _attach(run, claim)
    return taken


def tell_of_lost_run(alerter: BaseAlerter, lost: LostRun) -> bool:
    """Post one message about a run that ZenML does not know, unless that was done or is being done.

    Returns:
        Whether this call posted it and the alerter says that it arrived.
    """
    from zenml.client import Client
    from zenml.exceptions import EntityExistsError

    told = f"told-{lost.id}"
    claim = _claim(_tag_name(lost.id), lambda: _find_tag(told) is not None)
    if claim is None:
        return False
    message = (
        f"{headline(lost.pipeline, lost.name)} of its schedule\n"
        "No container of it started Python: look at its pod, its image and its secrets"
    )
    taken = _post(alerter, claim, message)
    if taken:
        with suppress(EntityExistsError):  # posting took so long that the claim lapsed and another told it
            Client().create_tag(told)
    return taken


def _post(alerter: BaseAlerter, claim: TagResponse, message: str) -> bool:
    """Post what was claimed, and give the claim back where it does not arrive."""
    from zenml.client import Client

    taken = False
    try:
        taken = alerter.post(message)
    except Exception as error:  # noqa: BLE001 - any alerter may be in the stack, and raise anything
        logger.warning("The alerter failed: %s", one_line(f"{type(error).__name__}: {error}"))
    finally:
        if not taken:
            Client().zen_store.delete_tag(claim.id)
    return taken


def settle(run: PipelineRunResponse) -> None:
    """Mark a failed run as one that nobody needs to be told of."""
    claim = _claim_run(run)
    if claim is not None:
        _attach(run, claim)


def is_settled(run: PipelineRunResponse) -> bool:
    """Whether the run, as it was read, says that it was told."""
    return any(tag.name == _tag_name(run.id) for tag in run.tags)


def headline(pipeline: str, run: str) -> str:
    """How every message about a failed run begins."""
    return f"run_failed ({SEVERITY}): pipeline {pipeline} failed: run {run}"


def _message(run: PipelineRunResponse, step: str | None, kind: str | None, reason: str) -> str:
    pipeline = run.pipeline.name if run.pipeline is not None else "(unnamed)"
    lines = (
        headline(pipeline, run.name) + (f", step {step}" if step else ""),
        ": ".join(part for part in (kind, short_line(reason)) if part),
        where_to_look(run),
    )
    return "\n".join(lines)


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
