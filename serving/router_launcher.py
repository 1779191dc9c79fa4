"""Start the router of an A/B test on the address it is given: ``python -m serving.router_launcher --help``.

Seldon's microservice of a router, built from the parts of ``serving.launcher``: both ports on ``--host``
alone, a token where that is not loopback, errors in Seldon's shape. The caller's key may be a header,
``x-request-key``, and the request id too; then nobody has to look for them in the body.
"""

import argparse
import json
import logging
import sys
from collections.abc import Callable
from typing import Any

from flask import Response, jsonify, request
from seldon_core import seldon_methods
from seldon_core.wrapper import get_rest_microservice

from serving.access import Tokens
from serving.application import RAW_PICTURE, WsgiApplication, body_within, guarded
from serving.json_parts import too_many_parts
from serving.metrics import WorkerMetrics
from serving.router import KEY_HEADER, KEY_TAG, KeyRouter
from serving.server import ConnectionLimits, Server
from serving.service import puid
from serving.starting import (
    WRONG_USE,
    NotStartedError,
    access_of,
    add_access_arguments,
    add_body_argument,
    add_port_arguments,
    add_request_within_argument,
    listen,
)

ENDPOINTS = frozenset({"Route", "HealthPing", "HealthStatus", "Metrics"})
ID_HEADERS = ("x-request-id", "seldon-puid")
"""The request id, where the body has none: of the ingress, else of Seldon's engine."""
THREADS = 32
"""Each answer takes a fraction of a millisecond, once the request's body is there."""


def make_application(
    router: KeyRouter,
    metrics: WorkerMetrics,
    *,
    tokens: Tokens | None,
    metrics_port: int,
    max_body_bytes: int,
) -> WsgiApplication:
    """Build the application: routes, and on ``metrics_port`` metrics and health."""
    rest = get_rest_microservice(router, metrics)
    rest.view_functions["Route"] = _route_view(router, metrics, max_body_bytes)
    return guarded(rest, metrics, tokens=tokens, metrics_port=metrics_port, endpoints=ENDPOINTS)


def _route_view(router: KeyRouter, metrics: WorkerMetrics, max_body_bytes: int) -> Callable[[], Response]:
    """Make the view that takes a Seldon message as JSON, or a raw picture with its key in a header."""

    def route() -> Response:
        body, key = body_within(max_body_bytes), request.headers.get(KEY_HEADER)
        if key:
            message: Any = {"meta": {"tags": {KEY_TAG: key}}}
        else:
            message = _with_request_id({} if request.mimetype == RAW_PICTURE else _parsed(body))
        response: Response = jsonify(seldon_methods.route(router, message, metrics))
        return response

    return route


def _parsed(body: bytes) -> dict[str, Any]:
    """The message; nothing of one that cannot be read, for the version says what is wrong with it."""
    if too_many_parts(body):
        return {}
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


def _with_request_id(message: dict[str, Any]) -> dict[str, Any]:
    """The message with the request id of a header, where it has none of its own."""
    given = next((found for name in ID_HEADERS if (found := puid(request.headers.get(name)))), None)
    meta = message.get("meta", {})
    if given is None or not isinstance(meta, dict):
        return message
    return {**message, "meta": {"puid": given, **meta}}


def _arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m serving.router_launcher", description="Share request keys between two versions."
    )
    add_port_arguments(parser, port="REST", metrics="Prometheus, at /metrics; and health")
    parser.add_argument(
        "--share", type=float, required=True, help="of the keys that the candidate gets, between 0 and 1"
    )
    add_body_argument(parser)
    add_request_within_argument(parser)
    add_access_arguments(parser)
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM; return an exit code and write one line where the service could not be started."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("seldon_core").setLevel(logging.WARNING)
    options = _arguments(arguments)
    try:
        tokens = _tokens(options)
        router = _router(options.share)
        sockets = [listen(options.host, port) for port in (options.port, options.metrics_port)]
    except NotStartedError as error:
        sys.stderr.write(f"serving.router_launcher: not started: {error}\n")
        return error.exit_code
    metrics = WorkerMetrics({"model_name": "router"})
    application = make_application(
        router,
        metrics,
        tokens=tokens,
        metrics_port=options.metrics_port,
        max_body_bytes=options.max_body_bytes,
    )
    settings = {
        "bind": [f"fd://{one.detach()}" for one in sockets],
        "threads": THREADS,
    }
    limits = ConnectionLimits(options.max_body_bytes, options.request_within_s, options.port, tokens)
    Server(application, settings, limits, metrics).run()
    return 0


def _tokens(options: argparse.Namespace) -> Tokens | None:
    """The tokens that callers need.

    Raises:
        NotStartedError: there are none where they are needed, or certificates in their place.
    """
    tokens, tls = access_of(options)
    if tls is not None:
        raise NotStartedError(WRONG_USE, "Seldon's engine speaks no TLS to a router: give --token-file")
    return tokens


def _router(share: float) -> KeyRouter:
    """The router of ``--share``.

    Raises:
        NotStartedError: it is no share.
    """
    try:
        return KeyRouter(share=share)
    except ValueError as error:
        raise NotStartedError(WRONG_USE, f"--share: {error}") from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
