"""Start the gRPC predictor on the address it is given: ``python -m serving.grpc_launcher --help``.

Seldon's services ``seldon.protos.Seldon`` and ``seldon.protos.Model`` on ``--port``, and on
``--metrics-port`` what Prometheus and probes ask over HTTP, as ``serving.launcher`` has it. It is a process
and a model copy of its own: a second one beside the REST service, and counted as such.

A picture that cannot be used gets Seldon's ``status`` in the answer, with the code and the reason that REST
gives. A request that the model never saw has a status of gRPC: bytes that are no message INVALID_ARGUMENT, no
token UNAUTHENTICATED, a message above the limit or one too many at a time RESOURCE_EXHAUSTED, a method of
another kind of unit UNIMPLEMENTED. Feedback is kept as REST's is: what cannot be meant gets a ``status`` with
code 400 and REST's reason; where none is kept it is UNIMPLEMENTED, and without room RESOURCE_EXHAUSTED.
"""

import argparse
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import grpc
from flask import Flask
from google.protobuf.descriptor import Descriptor
from google.protobuf.json_format import MessageToDict, ParseDict
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from gunicorn.errors import AppImportError
from seldon_core.proto import prediction_pb2
from seldon_core.wrapper import get_metrics_microservice, get_rest_microservice

from serving.access import Tls, Tokens
from serving.admission import OVERLOADED, Overloaded, Places
from serving.application import close_other_routes
from serving.capture_options import CaptureSettings, add_capture_arguments
from serving.feedback import MOST_FEEDBACK_BYTES
from serving.metrics import WorkerMetrics
from serving.protobuf_parts import MOST_PARTS, too_many_parts
from serving.server import (
    GRACEFUL_TIMEOUT_S,
    ConnectionLimits,
    ModelServer,
    captured_by,
    classifier_of,
    labels_of,
)
from serving.service import BAD_REQUEST, FAILED, NOT_KEPT, OK, UNAVAILABLE, PictureClassifier, puid
from serving.starting import (
    NotStartedError,
    access_of,
    add_access_arguments,
    add_body_argument,
    add_model_arguments,
    add_port_arguments,
    add_request_within_argument,
    add_waiting_arguments,
    end_with_stdin,
    listen,
)
from serving.synthetic import HEADER, is_synthetic

SERVICES = ("seldon.protos.Seldon", "seldon.protos.Model")
GENERIC = "seldon.protos.Generic"
"""By which Seldon's own client sends feedback to a microservice; of it nothing else is answered."""
MESSAGE_ROOM = 64 * 1024
"""What a message may weigh beside its pictures: names, tags, a request id."""
HTTP_THREADS = 8
"""For probes and Prometheus; one may have to send to a slow reader."""
SPARE_THREADS = 4
"""Beyond those that answer and those that wait: for gRPC's health, metadata and refusals."""
# gunicorn kills a worker after GRACEFUL_TIMEOUT_S, which includes the second until it has seen the signal.
FINISH_WITHIN_S = GRACEFUL_TIMEOUT_S - 3
PLATFORM = "shutterline"
NOT_TAKEN = {
    NOT_KEPT: grpc.StatusCode.UNIMPLEMENTED,
    UNAVAILABLE: grpc.StatusCode.RESOURCE_EXHAUSTED,
}
"""Of feedback: REST's codes, and what they are by gRPC."""

logger = logging.getLogger("serving.grpc_launcher")


class Servicer:
    """The methods of Seldon's two services that one model answers; messages come and go as bytes.

    Args:
        classifier: the model.
        metrics: what is counted.
        places: for requests that are answered at a time.
        tokens: one of which a prediction needs; None: it needs none.
    """

    def __init__(
        self,
        classifier: PictureClassifier,
        metrics: WorkerMetrics,
        places: Places,
        tokens: Tokens | None = None,
    ) -> None:
        self._classifier = classifier
        self._metrics = metrics
        self._places = places
        self._tokens = tokens

    def predict(self, message: bytes, context: grpc.ServicerContext) -> bytes:
        """Answer a ``SeldonMessage`` as REST answers the same one in JSON."""
        arrived, called_with = time.monotonic(), self._admitted(context)
        given = puid(called_with.get("x-request-id"))
        ours = is_synthetic(called_with.get(HEADER))
        asked = self._classifier.unrecorded() if ours else self._classifier
        try:
            with self._places.one():
                answer = self._answer(asked, message, given, arrived)
        except Overloaded as error:
            self._metrics.count("shutterline_requests_overloaded")
            asked.record_refusal(given, arrived=arrived, code=OVERLOADED, reason="overloaded")
            _abort(context, grpc.StatusCode.RESOURCE_EXHAUSTED, f"{error.message}; ask again later")
        except NoMessage as error:
            self._metrics.count("shutterline_requests", "shutterline_requests_refused")
            asked.record_refusal(given, arrived=arrived, code=BAD_REQUEST, reason="bad_request")
            _abort(context, grpc.StatusCode.INVALID_ARGUMENT, str(error))
        code = answer.get("status", {}).get("code", OK)
        if code >= FAILED:
            _abort(context, grpc.StatusCode.INTERNAL, answer["status"]["info"])
        return _serialized(answer)

    def feedback(self, message: bytes, context: grpc.ServicerContext) -> bytes:
        """Keep a ``Feedback`` as REST keeps the same one in JSON; it needs no place, as there."""
        self._admitted(context)
        if len(message) > MOST_FEEDBACK_BYTES:
            _abort(
                context,
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"the feedback has {len(message):,} bytes; the limit is {MOST_FEEDBACK_BYTES:,}",
            )
        try:
            answer = self._classifier.send_feedback(feedback_message(message))
        except NoMessage as error:
            _abort(context, grpc.StatusCode.INVALID_ARGUMENT, str(error))
        code = answer.get("status", {}).get("code", OK)
        if code in NOT_TAKEN:
            _abort(context, NOT_TAKEN[code], answer["status"]["info"])
        if code == OK:
            self._metrics.count("shutterline_feedback")
        return _serialized(answer)

    def _admitted(self, context: grpc.ServicerContext) -> dict[str, Any]:
        """The metadata of a call that may be made; any other one ends here."""
        called_with = dict(context.invocation_metadata())
        if self._tokens is not None and not self._tokens.admit(called_with.get("authorization")):
            _abort(
                context,
                grpc.StatusCode.UNAUTHENTICATED,
                "the call has no token that this service accepts in its metadata: authorization: Bearer …",
            )
        return called_with

    def _answer(
        self, asked: PictureClassifier, message: bytes, given: str | None, arrived: float
    ) -> dict[str, Any]:
        request = seldon_message(message)
        if given is not None:
            request["meta"] = {"puid": given, **request.get("meta", {})}
        answer = asked.predict_raw(request, arrived)
        self._metrics.predicted(answer["meta"].pop("metrics"))
        return answer

    def metadata(self, _: bytes, __: grpc.ServicerContext) -> bytes:
        """Say what is served, as ``/health/status`` does."""
        served = self._classifier.health_status()
        answer = prediction_pb2.SeldonModelMetadata(
            name=self._classifier.model_name,
            versions=[self._classifier.model_version],
            platform=PLATFORM,
            custom={key: str(value) for key, value in served.items()},
        )
        serialized: bytes = answer.SerializeToString()
        return serialized


def _serialized(answer: dict[str, Any]) -> bytes:
    """An answer in JSON's shape as a ``SeldonMessage``."""
    message: bytes = ParseDict(answer, prediction_pb2.SeldonMessage()).SerializeToString()
    return message


class NoMessage(ValueError):
    """The bytes are no ``SeldonMessage``, or no ``Feedback``."""


def seldon_message(message: bytes) -> dict[str, Any]:
    """A ``SeldonMessage`` as the service takes it: what REST's JSON says, and ``binData`` in bytes.

    Raises:
        NoMessage: the bytes are no such message, or one too deep or of too many parts.
    """
    try:
        _check_parts(message, prediction_pb2.SeldonMessage.DESCRIPTOR)
        return _in_json(prediction_pb2.SeldonMessage.FromString(message))
    except Exception as error:  # the decoder, which is pure Python, trips over whatever it finds
        raise NoMessage(f"the bytes are no SeldonMessage: {error}") from error


def feedback_message(message: bytes) -> dict[str, Any]:
    """A ``Feedback`` as REST's JSON says it, without the pictures and answers that it repeats.

    A reward of 0 is none: protobuf does not tell the two apart.

    Raises:
        NoMessage: the bytes are no such message, or one too deep or of too many parts.
    """
    try:
        _check_parts(message, prediction_pb2.Feedback.DESCRIPTOR)
        given = prediction_pb2.Feedback.FromString(message)
        taken = {
            part: {"meta": {"puid": getattr(given, part).meta.puid}}
            for part in ("request", "response")
            if given.HasField(part)
        }
        if given.HasField("truth"):
            taken["truth"] = _in_json(given.truth)
        # What is 0.1 there is 0.1 here, though it has the precision of a float.
        reward: dict[str, Any] = MessageToDict(prediction_pb2.Feedback(reward=given.reward))
    except Exception as error:  # as above
        raise NoMessage(f"the bytes are no Feedback: {error}") from error
    return taken | reward


def _check_parts(message: bytes, kind: Descriptor) -> None:
    """Refuse a message before it takes the memory of all its parts."""
    if too_many_parts(message, kind):
        raise ValueError(f"it has more than {MOST_PARTS:,} fields, those of its messages included")


def _in_json(request: prediction_pb2.SeldonMessage) -> dict[str, Any]:
    kind = request.WhichOneof("data_oneof")
    taken: dict[str, Any] = {}
    if request.HasField("meta"):
        taken["meta"] = MessageToDict(request.meta)
    if request.HasField("status"):
        taken["status"] = MessageToDict(request.status)
    if kind == "jsonData":
        taken[kind] = MessageToDict(request.jsonData)
    elif kind is not None:
        taken[kind] = getattr(request, kind)
    return taken


def _abort(context: grpc.ServicerContext, code: grpc.StatusCode, details: str) -> NoReturn:
    context.abort(code, details)
    raise AssertionError  # it has raised


def make_server(
    servicer: Servicer, address: str, *, threads: int, max_message_bytes: int, tls: Tls | None = None
) -> tuple[grpc.Server, health.HealthServicer]:
    """Bind ``address``, host and port; nothing is answered before ``start``.

    Args:
        servicer: answers.
        address: host and port.
        threads: that answer, wait and refuse.
        max_message_bytes: of a message, either way.
        tls: for clients with a certificate; None: unencrypted.

    Returns:
        The server, and gRPC's health service in it.

    Raises:
        RuntimeError: the port is in use.
    """
    server = grpc.server(
        ThreadPoolExecutor(threads),
        maximum_concurrent_rpcs=threads,
        options=[
            ("grpc.so_reuseport", 0),  # else a second service on the port would take half of the requests
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_send_message_length", max_message_bytes),
        ],
    )
    of_seldon, of_model = SERVICES
    predict = grpc.unary_unary_rpc_method_handler(servicer.predict)
    metadata = grpc.unary_unary_rpc_method_handler(servicer.metadata)
    kept = {"SendFeedback": grpc.unary_unary_rpc_method_handler(servicer.feedback)}
    methods = {
        of_seldon: {"Predict": predict, "ModelMetadata": metadata} | kept,
        of_model: {"Predict": predict, "Metadata": metadata} | kept,
        GENERIC: kept,
    }
    server.add_generic_rpc_handlers(
        tuple(grpc.method_handlers_generic_handler(*service) for service in methods.items())
    )
    states = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(states, server)
    for service in ("", *SERVICES):
        states.set(service, health_pb2.HealthCheckResponse.SERVING)
    if tls is None:
        server.add_insecure_port(address)
    else:
        server.add_secure_port(address, _credentials(tls))
    return server, states


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
    return grpc.ssl_server_credentials([pair], tls.client_ca.read_bytes(), require_client_auth=True)


def make_application(classifier: PictureClassifier, metrics: WorkerMetrics) -> Flask:
    """The WSGI application beside it: ``/metrics``, ``/health/ping`` and ``/health/status``."""
    flask: Flask = get_metrics_microservice(metrics)
    views = get_rest_microservice(classifier, metrics).view_functions
    for path, endpoint in (("/health/ping", "HealthPing"), ("/health/status", "HealthStatus")):
        flask.add_url_rule(path, endpoint, views[endpoint])
    close_other_routes(flask)
    return flask


class GrpcServer(ModelServer):
    """A worker that loads the model and then answers gRPC from threads of its own."""

    def __init__(
        self,
        application: Callable[..., Iterable[bytes]],
        options: dict[str, Any],
        limits: ConnectionLimits,
        metrics: WorkerMetrics,
        classifier: PictureClassifier,
        capture: CaptureSettings | None,
        make: Callable[[], tuple[grpc.Server, health.HealthServicer]],
    ) -> None:
        self._make = make
        self._running: tuple[grpc.Server, health.HealthServicer] | None = None
        self._ended: threading.Event | None = None
        options = options | {"worker_exit": self._finish}
        super().__init__(application, options, limits, metrics, classifier, capture)

    def load(self) -> Callable[..., Iterable[bytes]]:
        """Load the model in the worker, and answer.

        Raises:
            AppImportError: it did not load, or the port is in use.
        """
        application = super().load()
        try:
            self._running = self._make()
        except RuntimeError as error:
            raise AppImportError(f"serving.grpc_launcher: not started: {error}") from error
        self._running[0].start()
        return application

    def end(self) -> None:
        """Accept nothing more by gRPC either, at once: what HTTP has begun may take a while to end."""
        if self._running is not None and self._ended is None:
            server, states = self._running
            states.enter_graceful_shutdown()
            self._ended = server.stop(FINISH_WITHIN_S)

    def _finish(self, _: object, __: object) -> None:
        """Answer in the worker what was accepted, and nothing more."""
        self.end()
        if self._ended is not None:
            self._ended.wait()
        self.classifier.close()


def _arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m serving.grpc_launcher",
        description="Serve a model directory by Seldon's gRPC services.",
    )
    add_port_arguments(parser, port="gRPC", metrics="HTTP: /metrics, /health/ping and /health/status")
    refused = "is RESOURCE_EXHAUSTED"
    add_waiting_arguments(parser, refused)
    add_body_argument(parser, f"of a message's pictures; a larger one {refused}")
    add_request_within_argument(parser)
    add_access_arguments(parser)
    add_capture_arguments(parser)
    add_model_arguments(parser)
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM; return an exit code and write one line where the service could not be started."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("seldon_core").setLevel(logging.WARNING)
    options = _arguments(arguments)
    try:
        tokens, tls = access_of(options)
        capture = captured_by(options)
        classifier = classifier_of(options.parameters)
        listen(options.host, options.port).close()  # said at once, before a model is loaded for nothing
        http = listen(options.host, options.metrics_port)
    except NotStartedError as error:
        sys.stderr.write(f"serving.grpc_launcher: not started: {error}\n")
        return error.exit_code
    metrics = WorkerMetrics(labels_of(classifier, capture))
    places = Places(options.workers, queue=options.queue, wait_s=options.queue_wait_s)
    host = f"[{options.host}]" if ":" in options.host else options.host

    def make() -> tuple[grpc.Server, health.HealthServicer]:
        return make_server(
            Servicer(classifier, metrics, places, tokens),
            f"{host}:{options.port}",
            threads=options.workers + options.queue + SPARE_THREADS,
            max_message_bytes=options.max_body_bytes + MESSAGE_ROOM,
            tls=tls,
        )

    settings = {
        "bind": [f"fd://{http.detach()}"],
        "threads": HTTP_THREADS,
    }
    if options.end_with_stdin:
        end_with_stdin()
    limits = ConnectionLimits(options.max_body_bytes, options.request_within_s, options.port)
    application = make_application(classifier, metrics)
    GrpcServer(application, settings, limits, metrics, classifier, capture, make).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
