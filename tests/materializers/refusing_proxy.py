"""A proxy on loopback before a real S3 server that refuses some of the requests, as a busy bucket does."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from urllib.parse import urlsplit

BUSY = b'<?xml version="1.0"?><Error><Code>ServiceUnavailable</Code><Message>Busy.</Message></Error>'
OF_ONE_CONNECTION = {"connection", "keep-alive", "transfer-encoding"}


class RefusingProxy(ThreadingHTTPServer):
    """Answers 503 to the requests that ``refuses`` chooses by their number, and passes the others on."""

    daemon_threads = True

    def __init__(self, upstream: str, refuses: Callable[[int], bool]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream, self.refuses = urlsplit(upstream).netloc, refuses
        self.numbers = count()
        self.refused = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: RefusingProxy
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.refuses(next(self.server.numbers)):
            self.server.refused += 1
            self._send(503, {"Content-Type": "application/xml"}, BUSY)
            return
        connection = http.client.HTTPConnection(self.server.upstream, timeout=60)
        try:
            # The Host header is part of the signature: it stays as the client sent it.
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in {*OF_ONE_CONNECTION, "expect"}:
                    connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            self._send(response.status, dict(response.headers.items()), response.read())
        finally:
            connection.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _answer  # noqa: N815 (how it is called)

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in {*OF_ONE_CONNECTION, "content-length"}:
                self.send_header(name, value)
        length = headers.get("Content-Length", len(body)) if self.command == "HEAD" else len(body)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def refusing(upstream: str, refuses: Callable[[int], bool]) -> Iterator[RefusingProxy]:
    """A running proxy."""
    proxy = RefusingProxy(upstream, refuses)
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()
