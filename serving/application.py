"""The WSGI application: Seldon's own for REST and metrics, with what it lacks before it.

- A raw picture is a request too (``application/octet-stream``), and so is the form of Seldon's own clients;
  bodies are limited, every error has Seldon's shape and, where the request's id is known, ``meta.puid``.
- ``/seldon.json`` describes what is answered here; see ``serving.api_document``.
- Off loopback a request needs a token; see ``serving.access``.
- A request waits for a place within bounds, or gets a 429 before anything of it is parsed or decoded; see
  ``serving.admission``. Health and metrics wait for no place.
"""

import json
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from flask import Flask, Response, abort, jsonify, request
from seldon_core.flask_utils import SeldonMicroserviceException
from seldon_core.wrapper import get_metrics_microservice, get_rest_microservice
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from serving.access import OPEN_PREFIX, Tokens
from serving.admission import OVERLOADED, RETRY_AFTER_S, Overloaded, Places
from serving.api_document import api_document
from serving.feedback import MOST_FEEDBACK_BYTES
from serving.json_parts import MOST_PARTS, too_many_parts
from serving.metrics import WorkerMetrics
from serving.reasons import Reason, reason_of_status
from serving.service import (
    BAD_REQUEST,
    FAILED,
    INTERNAL_ERROR,
    OK,
    UNAVAILABLE,
    PictureClassifier,
    puid,
    status,
)
from serving.synthetic import HEADER, is_synthetic

RAW_PICTURE = "application/octet-stream"
FORM, FIELD = "application/x-www-form-urlencoded", b"json="
"""How Seldon's own clients send a message."""
MOST_ESCAPES = 1_000_000
"""Of a form: a base64 of 32 MB has fewer, and each takes memory while they are undone."""
# Seldon's other routes (transform, route, aggregate) answer for graphs; this is one model.
ENDPOINTS = frozenset(
    {"Predict", "SendFeedback", "HealthPing", "HealthStatus", "Metadata", "Metrics", "openAPI"}
)
UNAUTHORIZED: tuple[Reason, str] = ("unauthorized", "the request has no token that this service accepts")

ARRIVED = "shutterline.arrived"
"""In a request's environment: when all of it had arrived, by the monotonic clock."""

WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

logger = logging.getLogger("serving.launcher")


@dataclass(frozen=True)
class Rules:
    """What is asked of a request before the model sees it.

    Args:
        places: for requests that are answered at a time.
        max_body_bytes: of a request.
        tokens: that a request needs; None: it needs none.
    """

    places: Places
    max_body_bytes: int
    tokens: Tokens | None = None


def make_application(
    classifier: PictureClassifier, metrics: WorkerMetrics, rules: Rules, *, metrics_port: int
) -> WsgiApplication:
    """Build the application: REST, and on ``metrics_port`` metrics and health."""
    rest = get_rest_microservice(classifier, metrics)
    rest.view_functions["Predict"] = _prediction_view(classifier, metrics, rules)
    rest.view_functions["SendFeedback"] = _feedback_view(classifier, metrics, rules)
    document = api_document()
    rest.view_functions["openAPI"] = lambda: jsonify(document)
    return guarded(rest, metrics, tokens=rules.tokens, metrics_port=metrics_port)


def guarded(
    rest: Flask,
    metrics: WorkerMetrics,
    *,
    tokens: Tokens | None,
    metrics_port: int,
    endpoints: frozenset[str] = ENDPOINTS,
) -> WsgiApplication:
    """A service of Seldon's for REST, of which only ``endpoints`` answer; on ``metrics_port`` its metrics.

    Health is told on both ports. A request for anything but health or metrics needs one of the ``tokens``.
    """
    exposition = get_metrics_microservice(metrics)
    if tokens is not None:
        rest.before_request(_demand(tokens))
    for flask in (rest, exposition):
        close_other_routes(flask, endpoints)

    def dispatch(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        health = environ["PATH_INFO"].startswith(OPEN_PREFIX)
        on_metrics_port = environ["SERVER_PORT"] == str(metrics_port)
        flask: Flask = exposition if on_metrics_port and not health else rest
        return flask(environ, start_response)

    return dispatch


def close_other_routes(flask: Flask, endpoints: frozenset[str] = ENDPOINTS) -> None:
    """Leave of Seldon's routes these, by default those of one model; every error gets Seldon's shape."""
    methods: dict[str, set[str]] = {}
    for rule in flask.url_map.iter_rules():
        if rule.endpoint in endpoints:
            methods.setdefault(rule.rule, set()).update(rule.methods or ())

    def refuse_others() -> None:
        if request.endpoint not in endpoints:
            if request.path in methods:  # Seldon's files are at every path, so that GET finds no file there
                raise MethodNotAllowed(sorted(methods[request.path]))
            abort(404)

    flask.before_request(refuse_others)
    flask.register_error_handler(HTTPException, _http_error)
    flask.register_error_handler(Exception, _internal_error)


def _prediction_view(
    classifier: PictureClassifier, metrics: WorkerMetrics, rules: Rules
) -> Callable[[], Response]:
    """Make the view that takes a Seldon message as JSON or a raw picture."""

    def predictions() -> Response:
        arrived = request.environ.get(ARRIVED, time.monotonic())
        asked = classifier.unrecorded() if is_synthetic(request.headers.get(HEADER)) else classifier
        try:
            return answer(asked, arrived)
        except HTTPException as error:
            code = error.code or FAILED
            metrics.count("shutterline_requests", "shutterline_requests_refused")
            asked.record_refusal(_given_id(), arrived=arrived, code=code, reason=reason_of_status(code))
            raise

    def answer(asked: PictureClassifier, arrived: float) -> Response:
        body = body_within(rules.max_body_bytes)
        with ExitStack() as held:
            try:
                held.enter_context(rules.places.one())
            except Overloaded as error:
                metrics.count("shutterline_requests_overloaded")
                asked.record_refusal(_given_id(), arrived=arrived, code=OVERLOADED, reason="overloaded")
                return _later(OVERLOADED, "overloaded", f"{error.message}; ask again later")
            message: Any = {"binData": body} if request.mimetype == RAW_PICTURE else _parse(body)
            given = _given_id()
            if isinstance(message, dict) and given is not None:
                meta = message.get("meta")
                message["meta"] = {"puid": given, **(meta if isinstance(meta, dict) else {})}
            # What Seldon's own function does, but that the model is told since when the request waits.
            answer = asked.predict_raw(message, arrived)
        metrics.predicted(answer["meta"].pop("metrics"))
        response = jsonify(answer)
        response.status_code = answer.get("status", {}).get("code", OK)
        return response

    return predictions


def _feedback_view(
    classifier: PictureClassifier, metrics: WorkerMetrics, rules: Rules
) -> Callable[[], Response]:
    """Make the view that takes Seldon's feedback message; it needs no place, for the model has no part.

    Where it needs none its size is bounded, to what is parsed in milliseconds.
    """
    most = min(MOST_FEEDBACK_BYTES, rules.max_body_bytes)

    def feedback() -> Response:
        answer = classifier.send_feedback(_parse(body_within(most)))
        if "status" not in answer:
            metrics.count("shutterline_feedback")
            return jsonify(answer)
        about = answer["status"]
        respond = _later if about["code"] == UNAVAILABLE else _error
        return respond(about["code"], about["reason"], about["info"])

    return feedback


def _given_id() -> str | None:
    """The id of the request in its header, if it is a sane one."""
    return puid(request.headers.get("x-request-id"))


def body_within(max_bytes: int) -> bytes:
    """The request's body, as it was sent; nothing is inflated. A larger one ends the request with a 413."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        abort(415, "the body is compressed; send it as it is: pictures are compressed already")
    declared = request.content_length or 0  # a chunked body declares nothing: only reading tells
    body = b"" if declared > max_bytes else request.stream.read(max_bytes + 1)
    if max(declared, len(body)) > max_bytes:
        abort(413, f"the request is larger than {max_bytes:,} bytes")
    return body


def _parse(body: bytes) -> Any:
    """The message of a body of JSON, or of a form's one field; the content type alone makes no form."""
    try:
        if request.mimetype == FORM and body.startswith(FIELD):
            if b"&" in body or body.count(b"%") > MOST_ESCAPES:
                abort(BAD_REQUEST, "a form must have the one field json, of which little is escaped")
            message: bytes | str = unquote_plus(body[len(FIELD) :].decode("ascii"))
        else:
            message = body
        if too_many_parts(message):
            abort(BAD_REQUEST, f"the request has more than {MOST_PARTS:,} objects, lists and members of them")
        return json.loads(message)
    except (ValueError, RecursionError):
        abort(BAD_REQUEST, f"the request is not JSON; send a raw picture with content-type {RAW_PICTURE}")


def _demand(tokens: Tokens) -> Callable[[], Response | None]:
    """Make what refuses a request without a token; of its body :mod:`serving.worker` has read nothing."""

    def demand() -> Response | None:
        if request.path.startswith(OPEN_PREFIX) or tokens.admit(request.headers.get("authorization")):
            return None
        response = _error(401, *UNAUTHORIZED)
        response.headers["WWW-Authenticate"] = "Bearer"
        return response

    return demand


def _later(code: int, reason: Reason, info: str) -> Response:
    """An error that is worth another try."""
    response = _error(code, reason, info)
    response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


def _error(code: int, reason: Reason, info: str) -> Response:
    given = _given_id()
    response = jsonify({"status": status(code, reason, info), **({"meta": {"puid": given}} if given else {})})
    response.status_code = code
    return response


def _http_error(error: HTTPException) -> Response:
    code = error.code or FAILED
    response = _error(code, reason_of_status(code), error.description or error.name)
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(error.valid_methods)
    return response


def _internal_error(error: Exception) -> Response:
    if isinstance(error, SeldonMicroserviceException):
        return _error(error.status_code, reason_of_status(error.status_code), error.message)
    logger.error("a request failed", exc_info=error)
    return _error(FAILED, *INTERNAL_ERROR)
