"""A loopback HTTP server that answers as a test says: for what a real service answers only when it is broken.

It stands for no service: tests/kubeflow asks the real MLflow and ZenML.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit


class Asked(NamedTuple):
    """A request that came; a body that is no JSON is bytes."""

    method: str
    path: str
    query: dict[str, str]
    authorization: str | None
    body: Any
    headers: Mapping[str, str]


class Answer(NamedTuple):
    """What is sent back: text as it is, anything else as JSON."""

    status: int = 200
    body: Any = ""
    headers: Mapping[str, str] = {}


Routes = Mapping[str, Answer | Callable[[Asked], Answer]]
"""By path; every other path is a 404."""


class Answering(NamedTuple):
    """A running server: its address, and what it was asked so far."""

    url: str
    asked: list[Asked]


@contextmanager
def answering(routes: Routes) -> Iterator[Answering]:
    """Run a server that knows these paths."""
    asked: list[Asked] = []

    class Handler(BaseHTTPRequestHandler):
        def _respond(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("content-length") or 0)
            sent = self.rfile.read(length)
            raw = self.headers.get("content-type") == "application/octet-stream"
            body = sent if raw else json.loads(sent) if length else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            query = dict(parse_qsl(parts.query))
            request = Asked(self.command, parts.path, query, headers.get("authorization"), body, headers)
            asked.append(request)
            route = routes.get(parts.path, Answer(404, "404 page not found"))
            answer = route if isinstance(route, Answer) else route(request)
            content = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content.encode())))
            self.end_headers()
            self.wfile.write(content.encode())

        do_GET = do_POST = _respond  # noqa: N815 - the names that http.server calls

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield Answering(f"http://127.0.0.1:{server.server_address[1]}", asked)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
