"""A worker whose loop is turned by hand, for ``test_worker.py``; it runs in the serving environment."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import ssl
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from gunicorn.config import Config
from gunicorn.glogging import Logger

from serving import worker
from serving.server import ConnectionLimits

PING = b"GET /health/ping HTTP/1.1\r\nhost: x\r\n\r\n"
WAIT_S = 10.0


class ByHand(worker.BufferingWorker):
    """Its loop turns, and its threads work, when they are told to."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1_000)
        limits = ConnectionLimits(1_000_000, 60.0, self.listener.getsockname()[1], tls=tls)
        config = Config()
        app = SimpleNamespace(limits=limits, wsgi=lambda: _pong)
        super().__init__(1, os.getppid(), [self.listener], app, 30, config, Logger(config))
        self.jobs: list[Callable[[], None]] = []
        self.init_process()

    def run(self) -> None:
        """Listen, and leave the rest to the caller."""
        submit = lambda do, *about: self.jobs.append(lambda: do(*about))  # noqa: E731
        self.threads = SimpleNamespace(submit=submit)  # type: ignore[assignment]
        self.selector.register(self.PIPE[0], selectors.EVENT_READ)
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ, self.listener)

    def connect(self) -> socket.socket:
        """A client that is connected; the worker has not seen it yet."""
        return socket.create_connection(self.listener.getsockname(), timeout=WAIT_S)

    def turn(self) -> None:
        """See to what has happened, at least one thing."""
        self._turn(WAIT_S)

    def answer(self) -> None:
        """Do what a thread does with the one request that is there."""
        until = time.monotonic() + WAIT_S
        while not self.jobs and time.monotonic() < until:
            self.turn()
        (job,) = self.jobs
        self.jobs.clear()
        job()


def _pong(_: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [("Content-Length", "4")])
    return [b"pong"]


def _said(client: socket.socket) -> str:
    return client.recv(65_536).partition(b"\r\n\r\n")[2].decode()


def _answered_while(meanwhile: Callable[[ByHand], None]) -> list[str]:
    """Two answers on one connection; ``meanwhile`` happens before the loop has it back after the first."""
    by_hand = ByHand()
    client = by_hand.connect()
    by_hand.turn()
    client.sendall(PING)
    by_hand.answer()
    meanwhile(by_hand)
    by_hand.turn()
    answers = [_said(client)]
    client.sendall(PING)
    by_hand.answer()
    return [*answers, _said(client)]


def room_is_made() -> list[str]:
    """For a connection that is new."""
    return _answered_while(lambda by_hand: by_hand._make_room())


def its_time_ran_out() -> list[str]:
    """The time that it had to send the request that was answered."""

    def tick(by_hand: ByHand) -> None:
        (connection,) = by_hand.connections.values()
        connection.until = time.monotonic() - 1
        by_hand._tick()

    return _answered_while(tick)


def more_connect_than_there_is_room_for() -> list[str]:
    """Before the worker has seen one that has sent its first request."""
    worker.MOST_CONNECTIONS = 100
    by_hand = ByHand()
    client = by_hand.connect()
    by_hand.turn()
    with contextlib.ExitStack() as opened:
        for _ in range(300):
            opened.enter_context(by_hand.connect())
        client.sendall(PING)
        by_hand.answer()
    return [_said(client)]


def tls_begins_too_late() -> list[str]:
    """What becomes of a client that is pushed out just then, and of the one in its place."""
    worker.MOST_CONNECTIONS = 1
    by_hand = ByHand(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    first = by_hand.connect()
    by_hand.turn()
    second = by_hand.connect()
    first.sendall(b"\x16")
    by_hand.turn()
    with contextlib.suppress(ConnectionResetError):
        first.recv(1)
    second.settimeout(0.2)
    try:
        return ["closed", "open" if second.recv(1) else "closed"]
    except TimeoutError:
        return ["closed", "open"]
