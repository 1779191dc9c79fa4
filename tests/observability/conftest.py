"""Prometheus and Alertmanager as a user starts them, in a folder that is gone afterwards."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from click.testing import CliRunner, Result

from benchmarks.main.home import free_port
from observability.__main__ import main
from tests.serving.conftest import exported, start_service

__all__ = ["exported", "start_service"]

QUICK = ("--interval", "1s", "--window", "6s", "--patience", "2s")
"""What is slow or down is seen, and over, in seconds."""


def observability(*arguments: str, **environment: str) -> Result:
    """Call ``python -m observability`` in this process."""
    return CliRunner().invoke(main, arguments, env=environment, prog_name="observability")


def free_ports_in_a_row() -> int:
    """The first of three ports that nothing listens on."""
    while True:
        first = free_port()
        with contextlib.suppress(OSError), contextlib.ExitStack() as held:
            for port in range(first, first + 3):
                probe = held.enter_context(socket.socket())
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
            return first


@dataclass
class Watching:
    """A site that runs."""

    home: Path
    first_port: int
    said: str

    def ask(self, query: str) -> list[dict[str, Any]]:
        """What Prometheus answers now; a query that it refuses fails the test."""
        url = f"http://127.0.0.1:{self.first_port}/api/v1/query"
        answer = httpx.get(url, params={"query": query}, trust_env=False).json()
        assert answer["status"] == "success", (query, answer)
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found


@contextlib.contextmanager
def watching(home: Path, *arguments: str) -> Iterator[Watching]:
    """Prometheus, Alertmanager and the exporter until the block ends."""
    first = free_ports_in_a_row()
    try:
        done = observability("up", "--home", str(home), "--ports-from", str(first), *QUICK, *arguments)
        assert done.exit_code == 0, done.output
        yield Watching(home, first, done.stdout)
    finally:
        if (home / "site.json").exists():
            assert observability("down", "--home", str(home)).exit_code == 0


@dataclass
class Hook:
    """What Alertmanager posted: name and state of each alert, in order."""

    url: str
    said: list[tuple[str, str]] = field(default_factory=list)
    labels: list[dict[str, str]] = field(default_factory=list)


@contextlib.contextmanager
def hook() -> Iterator[Hook]:
    """A webhook on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            for alert in body["alerts"]:
                taken.said.append((alert["labels"]["alertname"], alert["status"]))
                taken.labels.append(alert["labels"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    taken = Hook(f"http://127.0.0.1:{server.server_port}/alerts")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield taken
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def wait_until(true: Callable[[], object], *, seconds: float = 60.0) -> None:
    """Wait for something to become true."""
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.2)
