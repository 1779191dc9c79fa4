"""Start the Seldon microservice on the address it is given: ``python -m serving.launcher --help``.

It takes the place of the command ``seldon-core-microservice``, which binds 0.0.0.0 whatever it is asked, and
builds the service from the same parts: Seldon's REST and metrics applications under gunicorn. What differs:

- both ports are bound to ``--host``, at once, and a port in use is said in one line;
- one worker process with threads serves both, without Seldon's processes for metrics and for shared memory;
- with ``--end-with-stdin`` it ends when whoever started it is no more;
- a raw picture is a request too (``application/octet-stream``), bodies are limited, and every error has
  Seldon's shape;
- a model that does not load ends the process: exit code 4, the reason in the last line of the log.
"""

import argparse
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, Response, abort, jsonify, request
from gunicorn.errors import AppImportError
from seldon_core import seldon_methods
from seldon_core.flask_utils import SeldonMicroserviceException
from seldon_core.gunicorn_utils import StandaloneApplication
from seldon_core.metrics import SeldonMetrics
from seldon_core.microservice import parse_parameters
from seldon_core.wrapper import get_metrics_microservice, get_rest_microservice
from werkzeug.exceptions import HTTPException

from serving.model_directory import ModelDirectoryError
from serving.service import BAD_REQUEST, FAILURE, PictureClassifier

RAW_PICTURE = "application/octet-stream"
# Seldon's other routes (transform, route, aggregate, feedback) answer for graphs; this is one model.
ENDPOINTS = {"Predict", "HealthPing", "HealthStatus", "Metadata", "Metrics"}
# A request waits for a thread, and so does a probe: more threads than cores, so that probes get one.
DEFAULT_THREADS = 4
DEFAULT_MAX_BODY_BYTES = 32_000_000
# A worker that shows no sign of life for so long is killed and replaced; loading a model must fit in.
WORKER_TIMEOUT_S = 60
# What requests in flight get after SIGTERM.
GRACEFUL_TIMEOUT_S = 30
# Longer than an ingress keeps an idle connection, so that it is never the server that closes one in use.
KEEPALIVE_S = 75
STDIN = 0
CANNOT_LISTEN = 1
WRONG_USE = 2

WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

logger = logging.getLogger("serving.launcher")


class NotStartedError(RuntimeError):
    """The service cannot start: ``exit_code`` and the reason."""

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class WorkerMetrics(SeldonMetrics):  # type: ignore[misc]
    """Seldon's metrics in the memory of the one worker that there is, instead of a process of their own."""

    def __init__(self, labels: dict[str, str]) -> None:
        self._lock = threading.RLock()
        self.data: dict[int, dict[Any, Any]] = {}
        self.worker_id_func = os.getpid
        self._extra_default_labels = labels

    def __del__(self) -> None:
        """Leave out Seldon's, which ends the process that is not there."""

    def update(self, custom_metrics: list[dict[str, Any]], method: str) -> None:
        """Count; a request of another thread waits, so that none is lost."""
        with self._lock:
            super().update(custom_metrics, method)

    def generate_metrics(self) -> tuple[str, str]:
        """Print everything in Prometheus' text format, with its content type."""
        with self._lock:
            text, content_type = super().generate_metrics()
        return str(text), str(content_type)


class Server(StandaloneApplication):  # type: ignore[misc]
    """gunicorn with one worker, which loads the model before it answers anything."""

    def __init__(
        self, application: WsgiApplication, classifier: PictureClassifier, options: dict[str, Any]
    ) -> None:
        self.classifier = classifier
        super().__init__(application, options)

    def load(self) -> WsgiApplication:
        """Load the model in the worker.

        Raises:
            AppImportError: it did not load; gunicorn prints the message and ends instead of trying again.
        """
        try:
            self.classifier.load()
        except ModelDirectoryError as error:
            raise AppImportError(f"serving.launcher: not started: {error}") from error
        application: WsgiApplication = self.application
        return application


def make_application(
    classifier: PictureClassifier, metrics: SeldonMetrics, *, metrics_port: int, max_body_bytes: int
) -> WsgiApplication:
    """Build the WSGI application: Seldon's for REST, and on ``metrics_port`` its own for metrics."""
    rest = get_rest_microservice(classifier, metrics)
    rest.view_functions["Predict"] = _prediction_view(classifier, metrics, max_body_bytes)
    exposition = get_metrics_microservice(metrics)
    for flask in (rest, exposition):
        flask.before_request(_refuse_other_endpoints)
        flask.register_error_handler(HTTPException, _http_error)
    rest.register_error_handler(Exception, _internal_error)

    def dispatch(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        flask: Flask = exposition if environ["SERVER_PORT"] == str(metrics_port) else rest
        return flask(environ, start_response)

    return dispatch


def _prediction_view(
    classifier: PictureClassifier, metrics: SeldonMetrics, max_body_bytes: int
) -> Callable[[], Response]:
    """Make the view that takes a Seldon message as JSON or a raw picture."""

    def predictions() -> Response:
        declared = request.content_length or 0  # a chunked body declares nothing: only reading tells
        body = b"" if declared > max_body_bytes else request.stream.read(max_body_bytes + 1)
        if max(declared, len(body)) > max_body_bytes:
            abort(413, f"the request is larger than {max_body_bytes:,} bytes")
        message: Any = {"binData": body} if request.mimetype == RAW_PICTURE else _parse(body)
        if isinstance(message, dict) and "x-request-id" in request.headers:
            meta = message.get("meta")
            message["meta"] = {
                "puid": request.headers["x-request-id"],
                **(meta if isinstance(meta, dict) else {}),
            }
        answer = seldon_methods.predict(classifier, message, metrics)
        answer["meta"].pop("metrics", None)
        response = jsonify(answer)
        response.status_code = answer.get("status", {}).get("code", 200)
        return response

    return predictions


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        abort(BAD_REQUEST, f"the request is not JSON; send a raw picture with content-type {RAW_PICTURE}")


def _refuse_other_endpoints() -> None:
    if request.endpoint not in ENDPOINTS:
        abort(404)


def _error(code: int, reason: str, info: str) -> Response:
    response = jsonify({"status": {"status": FAILURE, "code": code, "reason": reason, "info": info}})
    response.status_code = code
    return response


def _http_error(error: HTTPException) -> Response:
    name = "bad_request" if error.code == BAD_REQUEST else error.name.lower().replace(" ", "_")
    return _error(error.code or 500, name, error.description or error.name)


def _internal_error(error: Exception) -> Response:
    if isinstance(error, SeldonMicroserviceException):
        return _error(error.status_code, error.reason, error.message)
    logger.error("a request failed", exc_info=error)
    return _error(500, "internal_error", "the request failed; the service's log says why")


def listen(host: str, port: int) -> socket.socket:
    """Bind and listen, on this address alone.

    Raises:
        NotStartedError: the port is in use, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise NotStartedError(CANNOT_LISTEN, f"cannot listen on {host} port {port}: {error}") from error


def _end_with_stdin() -> None:
    """Wait until standard input ends, then have this process end as by SIGTERM."""
    while os.read(STDIN, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _classifier(parameters: str) -> PictureClassifier:
    try:
        return PictureClassifier(**parse_parameters(json.loads(parameters)))
    except SeldonMicroserviceException as error:
        raise NotStartedError(WRONG_USE, f"--parameters: {error.message}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise NotStartedError(WRONG_USE, f"--parameters: {error}") from error


def _arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m serving.launcher", description="Serve a model directory as a Seldon microservice."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address of both ports (default: %(default)s)")
    parser.add_argument("--port", type=int, required=True, help="REST")
    parser.add_argument("--metrics-port", type=int, required=True, help="Prometheus, at /metrics")
    parser.add_argument(
        "--threads", type=int, default=DEFAULT_THREADS, help="requests at a time (default: %(default)s)"
    )
    parser.add_argument(
        "--max-body-bytes",
        type=int,
        default=DEFAULT_MAX_BODY_BYTES,
        help="a larger request gets a 413 (default: %(default)s)",
    )
    parser.add_argument(
        "--end-with-stdin",
        action="store_true",
        help="end when standard input does: a pipe ends with the process that holds its other end",
    )
    parser.add_argument(
        "--parameters",
        required=True,
        help='of serving.service.PictureClassifier, as Seldon writes them: [{"name", "value", "type"}, …]',
    )
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM; return an exit code and write one line where the service could not be started."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("seldon_core").setLevel(logging.WARNING)
    options = _arguments(arguments)
    try:
        classifier = _classifier(options.parameters)
        sockets = [listen(options.host, port) for port in (options.port, options.metrics_port)]
    except NotStartedError as error:
        sys.stderr.write(f"serving.launcher: not started: {error}\n")
        return error.exit_code
    metrics = WorkerMetrics({"model_name": classifier.model_name, "model_version": classifier.model_version})
    application = make_application(
        classifier,
        metrics,
        metrics_port=options.metrics_port,
        max_body_bytes=options.max_body_bytes,
    )
    settings = {
        "bind": [f"fd://{one.detach()}" for one in sockets],
        "workers": 1,
        "threads": options.threads,
        "worker_class": "gthread",
        "timeout": WORKER_TIMEOUT_S,
        "graceful_timeout": GRACEFUL_TIMEOUT_S,
        "keepalive": KEEPALIVE_S,
        "loglevel": "warning",
    }
    if options.end_with_stdin:
        # Of gunicorn's master alone: its worker, which is forked, has no thread of the master's.
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    Server(application, classifier, settings).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
