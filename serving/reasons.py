"""Why a request, or a picture of it, gets no answer: every ``reason`` that an error has, as a code.

The types hold whoever answers to these, and ``docs/serving.md`` says what each means.
"""

from typing import Literal

UnusableReason = Literal[
    "empty",
    "not_an_image",
    "truncated",
    "too_many_pixels",
    "too_many_bytes",
    "too_many_scans",
    "too_small",
    "odd_shape",
]
"""Of bytes that are no picture, or none that is taken."""
PictureReason = Literal[UnusableReason, "not_base64"]
"""Of one picture of a request."""
FeedbackReason = Literal[
    "bad_feedback", "unknown_keys", "no_request_id", "unknown_label", "bad_reward", "bad_value"
]
"""Of a feedback that cannot be meant."""
Reason = Literal[
    PictureReason,
    FeedbackReason,
    "bad_pictures",
    "bad_request",
    "too_many_pictures",
    "unauthorized",
    "not_found",
    "method_not_allowed",
    "request_timeout",
    "request_entity_too_large",
    "unsupported_media_type",
    "overloaded",
    "request_header_fields_too_large",
    "internal_error",
    "feedback_off",
    "http_version_not_supported",
]
BY_HTTP_STATUS: dict[int, Reason] = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "request_entity_too_large",
    415: "unsupported_media_type",
}
"""Of what is refused with no more than a status of HTTP."""


def reason_of_status(code: int) -> Reason:
    """The reason of an error of which nothing but HTTP's status is known."""
    return BY_HTTP_STATUS.get(code, "bad_request" if code < 500 else "internal_error")  # noqa: PLR2004 - HTTP's
