"""Tiny servers in the place of microservices: what reached whom, and what it was answered."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from stacks.local_deployer.state import Replica


class Upstream(ThreadingHTTPServer):
    """Answers every request with its own name, and remembers the headers that it saw.

    Attributes:
        takes_s: how long a prediction takes.
        status: of its answers.
        seen: method, path and headers of each prediction, in the order of arrival.
        sizes: how many bytes each of them had.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, name: str, *, takes_s: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.name, self.takes_s, self.status = name, takes_s, 200
        self.hangs = threading.Event()
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.sizes: list[int] = []
        self.replica = Replica(name=name, port=self.server_port, metrics_port=1)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in two packets without this: each answer would take 40 ms.
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Upstream

    def _answer(self) -> None:
        here = self.server
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.command == "POST":
            here.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
            here.sizes.append(len(body))
            time.sleep(here.takes_s)
        while here.hangs.is_set():
            time.sleep(0.05)
        content = json.dumps({"served_by": here.name, "path": self.path}).encode()
        with contextlib.suppress(ConnectionError):  # whoever asked may have given up
            self.send_response(here.status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def do_GET(self) -> None:
        """Health, and whatever else."""
        self._answer()

    def do_POST(self) -> None:
        """A prediction."""
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Be quiet."""


@contextmanager
def serving_upstreams(*names: str) -> Iterator[tuple[Upstream, ...]]:
    """Servers that answer until the block ends."""
    servers = tuple(Upstream(name) for name in names)
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield servers
    finally:
        for server in servers:
            server.hangs.clear()
            server.shutdown()
            server.server_close()


def wait_until(condition: Callable[[], bool], *, at_most_s: float = 20.0) -> None:
    """Wait until something is so; fail where it does not become so."""
    deadline = time.monotonic() + at_most_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
