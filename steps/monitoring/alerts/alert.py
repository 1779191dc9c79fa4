"""Tell people of an alert once, again only when that is news, and once more when it is over.

What is open and what was not told yet lies in the active stack's artifact store
(:mod:`materializers.alert_box`), so that every step and command of the stack knows it. A message is written
down before it is posted; what no target took, or what quiet hours hold back, is told by the next command or
look of the scheduler (:func:`tell_untold`). Nothing here raises: what an alert tells of is in a report, too.

When people want to be told is a setting of the stack's alerter, which every process can read.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, cast
from uuid import uuid4

from materializers.alert import SEVERITIES, Alert, AlertSettings, Delivery, Message, OpenAlert, Severity
from materializers.alert_box import AlertBox
from materializers.blobs import store_errors
from materializers.redaction import one_line
from materializers.release import Environment
from materializers.report import Record, name_model
from steps.data.stored import active_store

if TYPE_CHECKING:
    from zenml.alerter.base_alerter import BaseAlerter
    from zenml.models import PipelineRunResponse

logger = logging.getLogger("shutterline")

LONGEST_REASON = 500
"""Characters. An exception may quote a page that a server answered with."""
MOST_ATTEMPTS = 20
"""After so many a target that did not take what others took is given up."""
TRACEBACK = "Traceback (most recent call last):"
BROKEN = "an alerter that failed"
"""The name of what did not take a message where nobody knows the targets."""


class AlertChannel(Protocol):
    """An alerter that knows severities."""

    @property
    def alert_settings(self) -> AlertSettings:
        """When people want to be told."""

    def deliver(
        self,
        message: str,
        *,
        severity: Severity,
        over: bool = False,
        taken_by: Collection[str] = (),
        down: Collection[str] = (),
    ) -> Delivery:
        """Send a message to every target that is told of its severity, does not have it yet and is not down.

        ``down`` names targets that are not asked; those that are to have it are ``left_out``.
        """


class Alerts(Record):
    """What is to be said of a model's alerts."""

    open: tuple[OpenAlert, ...] = ()
    """What goes on, the oldest first."""
    untold: tuple[Message, ...] = ()
    """What was held back or not taken so far, the oldest first."""


def raise_alert(alert: Alert, *, now: datetime | None = None) -> bool:
    """Tell people of an alert, unless they know it: it goes on, and the last message is not long ago.

    An event is told each time, one that is known by its occurrence once.

    Reasons are redacted and cut, and their commands name the model; in a step, the link to its run is added.
    Nothing is raised.

    Args:
        alert: what people are told.
        now: the time, with its zone; None: the clock's.

    Returns:
        Whether a message of it was told now.
    """
    return _raised(alert, now or datetime.now(UTC))[1]


def keep_alert(alert: Alert, *, now: datetime | None = None) -> bool:
    """Raise an alert as :func:`raise_alert` does.

    Returns:
        Whether people know of it, or will: it is written down, or some target took it.
    """
    kept, told = _raised(alert, now or datetime.now(UTC))
    return kept or told


def clear_alert(
    name: str,
    model_name: str,
    environment: Environment | None = None,
    *,
    subject: str | Collection[str | None] | None = None,
    reason: str = "",
    now: datetime | None = None,
) -> bool:
    """Tell people that an alert is over, once; nothing where none of this name is open.

    Args:
        name: the alert's.
        model_name: the registered model.
        environment: the alert's.
        subject: the alert's, or those of several; None: all of this name that are open there.
        reason: a sentence on how that is known.
        now: the time, with its zone; None: the clock's.

    Returns:
        Whether one was open.
    """
    moment = now or datetime.now(UTC)
    meant = {subject} if isinstance(subject, str) else subject
    try:
        box = AlertBox(active_store(), model_name)
        with store_errors("read its alerts"):
            ended = [
                state
                for state in box.open(name)
                if state.alert.environment == environment and (meant is None or state.alert.subject in meant)
            ]
            if not ended:
                return False
            box.add(_end_of(ended, reason, moment))
            for state in ended:
                box.close(state)
    except Exception as error:  # noqa: BLE001 - it stays open, and the next look ends it
        logger.warning("Whether %s is open is not known: %s", name, one_line(str(error)))
        return False
    tell_untold(model_name, now=moment)
    return True


def tell_untold(model_name: str, *, now: datetime | None = None) -> set[str]:
    """Tell what was not told yet, what is critical first, and say in the log what is still not told.

    A target that does not take a message is not asked again in this call, and gets this and the others the
    next time: whoever is asked for something else waits for it once, and the targets that work wait for
    nothing. Nothing is raised.

    Args:
        model_name: the registered model.
        now: the time, with its zone; None: the clock's.

    Returns:
        The ids of the messages that were told.
    """
    moment = now or datetime.now(UTC)
    told: set[str] = set()
    down: set[str] = set()
    try:
        box = AlertBox(active_store(), model_name)
        with store_errors("read what is to be told"):
            waiting = _worth_telling(box)
            channel = _channel() if waiting else None  # reading a stack imports its components
            for message in waiting:
                if channel is not None and _tell(box, channel, message, moment, down):
                    told.add(message.id)
    except Exception as error:  # noqa: BLE001 - what was written down is told the next time
        logger.warning("Whether people were told is not known: %s", one_line(str(error)))
    return told


def open_alerts(model_name: str) -> Alerts:
    """The alerts of a model that are open, and what people were not told yet.

    Raises:
        ServiceUnreachable: the artifact store does not answer.
    """
    with store_errors("read its alerts"):
        box = AlertBox(active_store(), model_name)
        return Alerts(open=tuple(box.open()), untold=tuple(box.messages()))


def open_of(name: str, model_name: str) -> list[OpenAlert]:
    """The open alerts of one name, the oldest first.

    Raises:
        ServiceUnreachable: the artifact store does not answer.
    """
    with store_errors("read its alerts"):
        return AlertBox(active_store(), model_name).open(name)


def open_subjects(name: str, model_name: str) -> set[str | None]:
    """What the open alerts of one name are about.

    Raises:
        ServiceUnreachable: the artifact store does not answer.
    """
    return {state.alert.subject for state in open_of(name, model_name)}


def alert_settings() -> AlertSettings:
    """When people want to be told, as the active stack's alerter has it."""
    return _channel().alert_settings


def short_line(text: str) -> str:
    """A text as a message shows it: on one line, redacted, cut, of a traceback its last line alone."""
    head, traceback, rest = text.partition(TRACEBACK)
    if traceback:
        last = next((line for line in reversed(rest.splitlines()) if line.strip()), "")
        text = f"{head.rstrip()} {last.strip()}"
    said = one_line(text)
    return f"{said[:LONGEST_REASON]}…" if len(said) > LONGEST_REASON else said


def where_to_look(run: PipelineRunResponse) -> str:
    """The line of a message that leads to a run."""
    from zenml.utils.dashboard_utils import get_run_url

    url = get_run_url(run)
    return f"Look at it: {url}" if url else "Look at it in the dashboard: make dashboard"


# Writing down


def _raised(alert: Alert, now: datetime) -> tuple[bool, bool]:
    """Write an alert down and tell what was not told: whether the first was done, and whether it was told."""
    shown, channel = _fit_to_show(alert), _channel()
    try:
        box = AlertBox(active_store(), alert.model_name)
        with store_errors("keep an alert"):
            message = _written_down(box, shown, channel.alert_settings, now)
    except Exception as error:  # noqa: BLE001 - nobody knows then what was told: better twice than never
        logger.warning("Whether people know of %s is not known: %s", alert.name, one_line(str(error)))
        return False, bool(_delivered(channel, _message(shown, now)).taken)
    return True, message is not None and message.id in tell_untold(alert.model_name, now=now)


def _fit_to_show(alert: Alert) -> Alert:
    reasons = tuple(short_line(name_model(reason, alert.model_name)) for reason in alert.reasons)
    link = one_line(alert.link) if alert.link else _link_to_this_run()
    return alert.model_copy(update={"reasons": reasons, "link": link})


def _link_to_this_run() -> str | None:
    """Where to look at the run of the step that this process is in; None outside of steps."""
    from zenml import get_step_context

    try:
        return where_to_look(get_step_context().pipeline_run)
    except RuntimeError:
        return None


def _written_down(box: AlertBox, alert: Alert, settings: AlertSettings, now: datetime) -> Message | None:
    """Keep what an alert says; the message to be told, where it is news."""
    if alert.event:
        if alert.occurrence and box.knows(alert):
            return None
        message = _message(alert, now)
        box.add(message)  # first: killed in between, it is told, and then told again
        if alert.occurrence:
            box.note(alert)
        return message
    before = box.find(alert.key)
    news = before is None or before.is_news(alert, repeat_after=settings.repeat_after, now=now)
    given = _message(alert, now) if news else None
    if given is not None:
        box.add(given)  # first: killed in between, it is told, and then told again
    box.put(
        OpenAlert(
            alert=alert,
            severity=alert.severity if before is None or news else before.severity,
            since=now if before is None else before.since,
            last=now,
            given=now if before is None or news else before.given,
        )
    )
    return given


def _message(alert: Alert, now: datetime) -> Message:
    # Nothing stands for an event: each is a message of its own.
    identity = uuid4().hex
    keys = (identity,) if alert.event else (alert.key,)
    return Message(id=identity, at=now, keys=keys, severity=alert.severity, text=alert.text)


def _end_of(ended: list[OpenAlert], reason: str, now: datetime) -> Message:
    """What is told when alerts of one name are over, and what was the matter: it may never have been told."""
    name = ended[0].alert.name
    lines = [f"{name} is over: {'; '.join(state.alert.about for state in ended)}"]
    lines += [short_line(name_model(reason, ended[0].alert.model_name))] if reason else []
    for state in ended:
        lines.append(f"It began on {state.since:%Y-%m-%d %H:%M} UTC ({state.severity}):")
        lines += state.alert.reasons
    return Message(
        id=uuid4().hex,
        at=now,
        keys=tuple(state.alert.key for state in ended),
        severity=max((state.severity for state in ended), key=SEVERITIES.index),
        over=True,
        text="\n".join(lines),
    )


# Telling


def _worth_telling(box: AlertBox) -> list[Message]:
    """What is to be told, what is critical first; of several messages on the same alert the newest."""
    kept: list[Message] = []
    for message in reversed(box.messages()):
        if any(newer.stands_for(message) for newer in kept):
            box.remove(message)
        else:
            kept.append(message)
    return sorted(kept, key=lambda each: (-SEVERITIES.index(each.severity), each.at))


def _tell(box: AlertBox, channel: AlertChannel, message: Message, now: datetime, down: set[str]) -> bool:
    """Tell one message, unless it is held back; whether any target took it.

    Targets that are ``down`` are not asked, which is no attempt; those that did not take it are added.
    """
    settings = channel.alert_settings
    if settings.holds(message.severity, now):
        if message.at == now:  # written down just now: it is said once
            logger.info("Held back until %s: %s", settings.held_until, one_line(message.text))
        return False
    done = _delivered(channel, message, down, new=message.at == now)
    down.update(done.failed)
    taken_by = (*message.taken_by, *done.taken)
    attempts = message.attempts + bool(done.failed)
    if not done.failed and not done.left_out:
        box.remove(message)
    elif done.failed and not done.left_out and taken_by and attempts >= MOST_ATTEMPTS:
        logger.warning("Given up after %d attempts, others have it: %s", attempts, ", ".join(done.failed))
        box.remove(message)
    elif done.taken or done.failed:
        box.add(message.model_copy(update={"taken_by": taken_by, "attempts": attempts}))
    return bool(done.taken)


def _delivered(
    channel: AlertChannel, message: Message, down: Collection[str] = (), *, new: bool = True
) -> Delivery:
    """Post a message; what nobody took stands in the log, unless it waits and nobody was asked."""
    if BROKEN in down:
        return Delivery(taken=(), left_out=(BROKEN,))
    try:
        done = channel.deliver(
            message.text,
            severity=message.severity,
            over=message.over,
            taken_by=message.taken_by,
            down=down,
        )
    except Exception as error:  # noqa: BLE001 - any alerter may be in the stack, and raise anything
        logger.warning("The alerter failed: %s", one_line(f"{type(error).__name__}: {error}"))
        done = Delivery(taken=(), failed=(BROKEN,))
    if not done.taken and not message.taken_by and (done.failed or new):
        logger.warning("Not told yet: %s", one_line(message.text))
    return done


def _channel() -> AlertChannel:
    """The active stack's alerter, whether it knows severities or not; without any it is the log."""
    from zenml.client import Client

    alerter = Client().active_stack.alerter
    if alerter is not None and hasattr(alerter, "deliver"):
        return cast(AlertChannel, alerter)
    return _Plain(alerter)


class _Plain:
    """An alerter of ZenML's own, or none."""

    alert_settings = AlertSettings()
    name = "the alerter"

    def __init__(self, alerter: BaseAlerter | None) -> None:
        self._alerter = alerter

    def deliver(
        self,
        message: str,
        *,
        severity: Severity,
        over: bool = False,
        taken_by: Collection[str] = (),
        down: Collection[str] = (),
    ) -> Delivery:
        """Post it; without an alerter it stands in the log."""
        if self._alerter is None:
            logger.warning("%s", one_line(message))
            return Delivery(taken=("the log",))
        if self.name in down:
            return Delivery(taken=(), left_out=(self.name,))
        if self._alerter.post(message):
            return Delivery(taken=(self.name,))
        return Delivery(taken=(), failed=(self.name,))
