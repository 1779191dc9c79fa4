"""Start the Seldon microservice on the address it is given: ``python -m serving.launcher --help``.

It takes the place of the command ``seldon-core-microservice``, which binds 0.0.0.0 whatever it is asked, and
builds the service from the same parts: Seldon's REST and metrics applications under gunicorn. What differs:

- both ports are bound to ``--host``, at once, and a port in use is said in one line; an address that is not
  loopback needs a token or client certificates (``serving.access``);
- one process serves both, without Seldon's processes for metrics and for shared memory. It answers
  ``--workers`` requests at a time, a core each, and bounds who waits (``serving.admission``);
- with ``--end-with-stdin`` it ends when whoever started it is no more;
- a raw picture is a request too, bodies are limited, and every error has Seldon's shape
  (``serving.application``);
- a model that does not load ends the process: exit code 4, the reason in the last line of the log.

Workers are threads and no processes: onnxruntime, Pillow and the JPEG decoder release Python's lock. On two
cores two threads answered as many pictures as two processes (ResNet-18 at 224: 52 and 57 a second, ResNet-50:
25 and 23, within this machine's noise; a network of 0.5 ms, alone: 2,960 and 3,480). Only of that network
threads clearly took more CPU, 0.64 ms a request where processes took 0.55.
ResNet-50 with four of them takes 578 MB, 48 MB more than with one; four processes would take 1,306 MB for
their models alone.
"""

import argparse
import logging
import sys

from serving.admission import Places
from serving.application import Rules, make_application
from serving.capture_options import add_capture_arguments
from serving.metrics import WorkerMetrics
from serving.server import (
    ConnectionLimits,
    ModelServer,
    captured_by,
    classifier_of,
    labels_of,
)
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

SPARE_THREADS = 8
"""Beyond those that answer and those that wait: for health, metrics and refusals."""


def _arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m serving.launcher", description="Serve a model directory as a Seldon microservice."
    )
    add_port_arguments(parser, port="REST", metrics="Prometheus, at /metrics; and health")
    add_waiting_arguments(parser)
    add_body_argument(parser)
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
        sockets = [listen(options.host, port) for port in (options.port, options.metrics_port)]
    except NotStartedError as error:
        sys.stderr.write(f"serving.launcher: not started: {error}\n")
        return error.exit_code
    metrics = WorkerMetrics(labels_of(classifier, capture))
    places = Places(options.workers, queue=options.queue, wait_s=options.queue_wait_s)
    rules = Rules(places, options.max_body_bytes, tokens)
    application = make_application(classifier, metrics, rules, metrics_port=options.metrics_port)
    settings = {
        "bind": [f"fd://{one.detach()}" for one in sockets],
        "threads": options.workers + options.queue + SPARE_THREADS,
        "worker_exit": lambda _server, _worker: classifier.close(),
    }
    if options.end_with_stdin:
        end_with_stdin()
    limits = ConnectionLimits(
        options.max_body_bytes,
        options.request_within_s,
        options.port,
        tokens,
        tls.context() if tls else None,
    )
    ModelServer(application, settings, limits, metrics, classifier, capture).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
