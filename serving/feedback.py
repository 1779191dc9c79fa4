"""Understand Seldon's feedback message: what somebody says of an answer that was given before.

``{"response": {"meta": {"puid": ID}}, "truth": {"strData": LABEL}}`` gives the right label of a request of
one picture, ``"truth": {"jsonData": {"labels": [LABEL, null, …]}}`` those of several, by position.
``"reward"`` is Seldon's own number, ``truth.jsonData.value`` a business figure. The id may stand in
``request.meta`` too.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from serving.captured_line import Said
from serving.reasons import FeedbackReason
from serving.recording import GivenFeedback

KNOWN = ("request", "response", "reward", "truth")
TRUTHS = ("strData", "jsonData")
ABOUT_A_TRUTH = ("meta", "status")
"""What Seldon's messages have besides."""
SAID = ("labels", "value")
MOST_ID = 128
"""Characters of a request id; as many as the service takes."""
MOST_FEEDBACK_BYTES = 64 * 1024
"""Of a message: the labels of a request fit, with long names. The pictures need not come again."""
MOST_REWARD = 1e6
MOST_VALUE = 1e12
"""Either way; more is a slip of whoever posts it."""


class BadFeedback(ValueError):
    """A feedback that cannot be meant: ``reason``, a code, and ``message``, with what would be taken."""

    def __init__(self, reason: FeedbackReason, message: str) -> None:
        super().__init__(message)
        self.reason: FeedbackReason = reason
        self.message = message


def parse_feedback(message: Any, *, classes: Collection[str], most_labels: int, at: float) -> GivenFeedback:
    """Take what is said out of a message.

    Args:
        message: Seldon's, as JSON.
        classes: of the model.
        most_labels: as many as a request has pictures at most.
        at: when it was posted, in seconds since 1970.

    Raises:
        BadFeedback: it has no id, says nothing, or something that cannot be meant.
    """
    if not isinstance(message, dict):
        raise BadFeedback("bad_feedback", "the feedback must be a JSON object")
    _refuse_unknown(message, KNOWN, "the feedback")
    request_id = _request_id(message)
    reward = _number(message.get("reward"), "reward", MOST_REWARD, "bad_reward")
    labels, value = _truth(message.get("truth"), classes, most_labels)
    if reward is not None or value is not None:
        labels.append(Said(reward=reward, value=value))
    if not labels:
        raise BadFeedback(
            "bad_feedback",
            "the feedback says nothing: give reward, truth.strData, truth.jsonData.labels or "
            "truth.jsonData.value",
        )
    return GivenFeedback(request_id=request_id, at=at, said=tuple(labels))


def _request_id(message: dict[str, Any]) -> str:
    found = []
    for part in ("response", "request"):
        about = message.get(part)
        meta = about.get("meta") if isinstance(about, dict) else None
        if isinstance(meta, dict) and meta.get("puid") not in (None, ""):
            found.append(meta["puid"])
    if not found:
        raise BadFeedback(
            "no_request_id", "the feedback names no request: give its request_id as response.meta.puid"
        )
    first = found[0]
    if not isinstance(first, str) or len(first) > MOST_ID or not first.isprintable():
        raise BadFeedback("no_request_id", f"the request id must be text of at most {MOST_ID} characters")
    if any(other != first for other in found):
        raise BadFeedback("no_request_id", "response.meta.puid and request.meta.puid name two requests")
    return first


def _truth(truth: Any, classes: Collection[str], most_labels: int) -> tuple[list[Said], float | None]:
    """The labels that a truth gives, and its business figure."""
    if truth is None:
        return [], None
    if not isinstance(truth, dict):
        raise BadFeedback("bad_feedback", f"truth must be an object with one of {', '.join(TRUTHS)}")
    _refuse_unknown(truth, (*TRUTHS, *ABOUT_A_TRUTH), "truth")
    if "strData" in truth and "jsonData" in truth:
        raise BadFeedback("bad_feedback", f"truth has one of {', '.join(TRUTHS)}, not both")
    if "strData" in truth:
        return [Said(label=_label(truth["strData"], classes))], None
    content = truth.get("jsonData", {})
    if not isinstance(content, dict):
        raise BadFeedback("bad_feedback", 'truth.jsonData must be {"labels": [label, …], "value": number}')
    _refuse_unknown(content, SAID, "truth.jsonData")
    labels = content.get("labels")
    if labels is None:
        labels = []
    if not isinstance(labels, list) or len(labels) > most_labels:
        raise BadFeedback(
            "bad_feedback",
            f"truth.jsonData.labels must be a list of at most {most_labels} labels, as many as a request may "
            "have pictures, with null for a picture without one",
        )
    said = [
        Said(position=position, label=_label(label, classes))
        for position, label in enumerate(labels)
        if label is not None
    ]
    return said, _number(content.get("value"), "truth.jsonData.value", MOST_VALUE, "bad_value")


def _label(label: Any, classes: Collection[str]) -> str:
    if not isinstance(label, str) or label not in classes:
        shown = label if isinstance(label, str) and len(label) <= MOST_ID else type(label).__name__
        raise BadFeedback(
            "unknown_label", f"{shown!r} is no class of the model; its classes are {', '.join(classes)}"
        )
    return label


def _number(given: Any, name: str, most: float, reason: FeedbackReason) -> float | None:
    if given is None:
        return None
    # JSON's NaN and Infinity are Python's, not JSON's; an integer may have a thousand digits.
    sound = isinstance(given, int | float) and not isinstance(given, bool) and abs(given) <= most
    if not sound or not math.isfinite(given):
        raise BadFeedback(reason, f"{name} must be a number from {-most:,.0f} to {most:,.0f}")
    return float(given)


def _refuse_unknown(given: dict[str, Any], known: Collection[str], where: str) -> None:
    unknown = sorted(set(map(str, given)) - set(known))
    if unknown:
        raise BadFeedback("unknown_keys", f"unknown keys {unknown} in {where}; known are {', '.join(known)}")
