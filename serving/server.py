"""Seldon's server, gunicorn, with our worker, and around a model that is loaded before it answers."""

import argparse
import json
import ssl
from dataclasses import dataclass
from typing import Any

from gunicorn.errors import AppImportError
from seldon_core.flask_utils import SeldonMicroserviceException
from seldon_core.gunicorn_utils import StandaloneApplication
from seldon_core.microservice import parse_parameters

from serving.access import Tokens
from serving.application import WsgiApplication
from serving.capture import Recorder
from serving.capture_options import CaptureSettings, capture_settings
from serving.metrics import WorkerMetrics
from serving.model_directory import ModelDirectoryError
from serving.service import PictureClassifier
from serving.starting import LONGEST_WAIT_S, WRONG_USE, NotStartedError

# A worker that shows no sign of life for so long is killed and replaced; loading a model must fit in.
WORKER_TIMEOUT_S = LONGEST_WAIT_S
# What requests in flight get after SIGTERM.
GRACEFUL_TIMEOUT_S = 30
# Longer than an ingress keeps an idle connection, so that it is never the server that closes one in use.
KEEPALIVE_S = 75


@dataclass(frozen=True)
class ConnectionLimits:
    """What :class:`serving.worker.BufferingWorker` heeds.

    Args:
        max_body_bytes: of a request.
        request_within_s: from a request's first byte to its last, and for TLS to agree.
        port: where predictions are asked for; no body is taken on the other one.
        tokens: one of which a request to ``port`` needs before its body is taken; None: it needs none.
        tls: of the connections on ``port``; None: none is encrypted.
    """

    max_body_bytes: int
    request_within_s: float
    port: int
    tokens: Tokens | None = None
    tls: ssl.SSLContext | None = None


class Server(StandaloneApplication):  # type: ignore[misc]
    """gunicorn with one :class:`serving.worker.BufferingWorker`.

    Args:
        application: answers.
        options: gunicorn's, beside those that are the same for every service.
        limits: of connections.
        metrics: count what is refused while it is received.
    """

    def __init__(
        self,
        application: WsgiApplication,
        options: dict[str, Any],
        limits: ConnectionLimits,
        metrics: WorkerMetrics,
    ) -> None:
        self.limits = limits
        self.metrics = metrics
        same_for_all = {
            "workers": 1,
            "worker_class": "serving.worker.BufferingWorker",
            "timeout": WORKER_TIMEOUT_S,
            "graceful_timeout": GRACEFUL_TIMEOUT_S,
            "keepalive": KEEPALIVE_S,
            "loglevel": "warning",
        }
        super().__init__(application, same_for_all | options)

    def end(self) -> None:
        """Take nothing new but what has begun by HTTP; the worker says so first when it is to end."""


class ModelServer(Server):
    """A worker that loads the model before it answers anything."""

    def __init__(
        self,
        application: WsgiApplication,
        options: dict[str, Any],
        limits: ConnectionLimits,
        metrics: WorkerMetrics,
        classifier: PictureClassifier,
        capture: CaptureSettings | None = None,
    ) -> None:
        self.classifier = classifier
        self.capture = capture
        super().__init__(application, options, limits, metrics)

    def load(self) -> WsgiApplication:
        """Load the model in the worker.

        Raises:
            AppImportError: it did not load; gunicorn prints the message and ends instead of trying again.
        """
        try:
            self.classifier.load()
        except ModelDirectoryError as error:
            raise AppImportError(f"serving.launcher: not started: {error}") from error
        if self.capture is not None:  # here, and not in the master: its thread is the worker's
            self.classifier.record_with(Recorder(self.capture, self.classifier.model))
        application: WsgiApplication = self.application
        return application


def classifier_of(parameters: str) -> PictureClassifier:
    """The service that ``--parameters`` describe; nothing is loaded yet.

    Raises:
        NotStartedError: they describe none.
    """
    try:
        return PictureClassifier(**parse_parameters(json.loads(parameters)))
    except SeldonMicroserviceException as error:
        raise NotStartedError(WRONG_USE, f"--parameters: {error.message}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise NotStartedError(WRONG_USE, f"--parameters: {error}") from error


def labels_of(classifier: PictureClassifier, capture: CaptureSettings | None) -> dict[str, str]:
    """What every metric is labelled with: model, version and, where it captures, which environment it is."""
    where = {} if capture is None else {"environment": capture.environment}
    return {"model_name": classifier.model_name, "model_version": classifier.model_version, **where}


def captured_by(options: argparse.Namespace) -> CaptureSettings | None:
    """What is kept of the traffic; None: nothing.

    Raises:
        NotStartedError: an option is missing.
    """
    try:
        return capture_settings(options)
    except ValueError as error:
        raise NotStartedError(WRONG_USE, str(error)) from error
