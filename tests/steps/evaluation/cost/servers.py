"""Small services that answer, stall and fail as a test wants them to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from serving.launching import PREDICTIONS

PREDICTION = json.dumps({"jsonData": {"predictions": [{"label": "tops"}]}}).encode()


class Answering(BaseHTTPRequestHandler):
    """Answers with a length, so that the connection stays open, and logs nothing."""

    protocol_version = "HTTP/1.1"

    def answer(self, said: bytes, code: int) -> None:
        """Send a whole answer."""
        self.send_response(code)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *values: object) -> None:
        """Say nothing."""


@contextmanager
def on_loopback(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The URL of predictions of a server whose requests this class answers, a thread each."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}{PREDICTIONS}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def service(
    before: Callable[[int], None] = lambda number: None,
    *,
    status: Callable[[int], int] = lambda number: 200,
    body: bytes = PREDICTION,
    resident: object = None,
    seen: list[Mapping[str, str]] | None = None,
) -> Iterator[str]:
    """The URL of a service that answers every picture.

    Args:
        before: is done before the n-th request, from 1, is answered.
        status: of the answer to it; 0: the connection is closed without one.
        body: of the answer.
        resident: what it says that it has in memory; None: it says nothing.
        seen: gets the headers of each request for a prediction.
    """
    counting, count = threading.Lock(), 0

    class Handler(Answering, BaseHTTPRequestHandler):
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self.answer(json.dumps({"jsonData": {"resident_bytes": resident}}).encode(), 200)

        def do_POST(self) -> None:
            nonlocal count
            self.rfile.read(int(self.headers["content-length"]))
            with counting:
                count += 1
                number = count
                if seen is not None:
                    seen.append(dict(self.headers))
            before(number)
            code = status(number)
            if not code:
                self.close_connection = True
                return
            self.answer(body, code)

    with on_loopback(Handler) as url:
        yield url
