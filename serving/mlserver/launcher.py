"""Start MLServer with one model directory: ``python -m serving.mlserver.launcher --help``.

It writes MLServer's settings files and does what ``mlserver start`` does, with what that lacks:

- the model is loaded, and its digest compared, before anything listens: on a mismatch the process ends with
  exit code 4, and never says that it is ready;
- a port in use is said in one line, and an address that is not loopback needs a token;
- HTTP goes through ``serving.mlserver.gate``; nobody can load or unload a model from outside;
- gRPC stays on loopback where a token is asked for, since MLServer's asks for none.
"""

import argparse
import asyncio
import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

from fastapi.exceptions import RequestValidationError
from mlserver import MLServer
from mlserver.cli.serve import load_settings
from mlserver.errors import MLServerError
from mlserver.grpc import GRPCServer
from mlserver.handlers import ModelRepositoryHandlers
from mlserver.rest import RESTServer
from mlserver.settings import ModelSettings, Settings
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse

from serving.access import Tokens
from serving.mlserver.gate import Gate
from serving.mlserver.loading import loaded
from serving.mlserver.settings import Listening, Served, write_settings
from serving.model_directory import ModelDirectoryError
from serving.starting import (
    WRONG_USE,
    NotStartedError,
    access_of,
    add_body_argument,
    add_model_arguments,
    add_port_arguments,
    add_token_argument,
    add_waiting_arguments,
    end_with_stdin,
    listen,
)

LOOPBACK = "127.0.0.1"
NO_MODEL = 4


class ClosedRepository(ModelRepositoryHandlers):  # type: ignore[misc]
    """MLServer's repository, for nobody: what is served is the release's alone."""

    async def index(self, *_: object) -> None:
        """Refuse."""
        raise MLServerError("not_found: models cannot be listed, loaded or unloaded here", 404)

    load = unload = index


class OneModelServer(MLServer):  # type: ignore[misc]
    """MLServer as it is opened here; ``tokens`` and ``max_body_bytes`` are asked of HTTP requests."""

    def __init__(self, settings: Settings, *, max_body_bytes: int, tokens: Tokens | None) -> None:
        self._max_body_bytes = max_body_bytes
        self._tokens = tokens
        super().__init__(settings)

    def _create_servers(self) -> None:
        handlers = ClosedRepository(self._model_repository, self._model_registry)
        self._rest_server = RESTServer(self._settings, self._data_plane, handlers)
        application = self._rest_server._app
        application.add_exception_handler(RequestValidationError, _bad_request)
        application.add_middleware(Gate, max_body_bytes=self._max_body_bytes, tokens=self._tokens)
        host = self._settings.host if self._tokens is None else LOOPBACK
        settings = self._settings.model_copy(update={"host": host})
        self._grpc_server = GRPCServer(settings, self._data_plane, handlers)
        self._kafka_server = None


async def _bad_request(_: Request, error: Exception) -> JSONResponse:
    """MLServer's own answer is a 422 of another shape, which repeats what was sent."""
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": (), "msg": "bad"}
    place = ".".join(str(part) for part in first["loc"][1:]) or "the body"
    return JSONResponse({"error": f"bad_request: {place}: {first['msg']}"}, 400)


def served_by(parameters: str) -> Served:
    """The model that ``--parameters`` describe.

    Raises:
        NotStartedError: they describe none.
    """
    try:
        return Served.model_validate({one["name"]: one["value"] for one in json.loads(parameters)})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise NotStartedError(WRONG_USE, f"--parameters: {key}: {first['msg']}") from error
    except (TypeError, ValueError, KeyError) as error:
        raise NotStartedError(WRONG_USE, f"--parameters: {error}") from error


def _arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m serving.mlserver.launcher",
        description="Serve a model directory by the v2 protocol, under MLServer.",
    )
    add_port_arguments(parser, port="HTTP", metrics="Prometheus, at /metrics")
    parser.add_argument("--grpc-port", type=int, required=True, help="gRPC; on loopback with a token")
    add_waiting_arguments(parser)
    add_body_argument(parser)
    add_token_argument(parser)
    add_model_arguments(parser)
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM; return an exit code and write one line where the service could not be started."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    options = _arguments(arguments)
    try:
        tokens, _ = access_of(options, tls=False)  # MLServer speaks no TLS
        served = served_by(options.parameters)
        for port in (options.port, options.grpc_port, options.metrics_port):
            listen(options.host, port).close()  # said at once, before a model is loaded for nothing
        loaded(served)
    except NotStartedError as error:
        sys.stderr.write(f"serving.mlserver.launcher: not started: {error}\n")
        return error.exit_code
    except ModelDirectoryError as error:
        sys.stderr.write(f"serving.mlserver.launcher: not started: {error}\n")
        return NO_MODEL
    listening = Listening(
        host=options.host,
        http_port=options.port,
        grpc_port=options.grpc_port,
        metrics_port=options.metrics_port,
        max_body_bytes=options.max_body_bytes,
        workers=options.workers,
        queue=options.queue,
        queue_wait_s=options.queue_wait_s,
    )
    if options.end_with_stdin:
        end_with_stdin()
    asyncio.run(_serve(served, listening, tokens))
    return 0


async def _serve(served: Served, listening: Listening, tokens: Tokens | None) -> None:
    with tempfile.TemporaryDirectory(prefix="shutterline-mlserver-") as folder:
        write_settings(Path(folder), served, listening)
        read: tuple[Settings, list[ModelSettings]] = await load_settings(folder)
        settings, models = read
        server: Any = OneModelServer(settings, max_body_bytes=listening.max_body_bytes, tokens=tokens)
        await server.start(models)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
