"""gunicorn's worker for this service: one loop that reads, threads that answer.

gunicorn's own worker with threads gives a connection a thread from its first byte on: a few clients that send
slowly hold them all, and nobody else is answered. Here the loop reads every connection, and a thread gets a
request when all of it has arrived. So slow and silent clients cost a file handle each, within limits of time,
number and memory, and health is answered while every place for predictions is taken. Of a request that shows
no token where one is asked for the body is not read: only who may ask has a part of the memory.

On SIGTERM it listens no more, answers what it has begun to read, and ends.
"""

import io
import json
import os
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader
from gunicorn.http.wsgi import Response, create
from gunicorn.workers.base import Worker

from serving.admission import OVERLOADED, RETRY_AFTER_S
from serving.application import ARRIVED
from serving.framing import BadFraming, Framing, Received, authorization_of
from serving.service import INTERNAL_ERROR, status

PIECE_BYTES = 64 * 1024
MOST_CONNECTIONS = 900
"""A process may usually open 1,024 files."""
ACCEPTED_AT_ONCE = 64
"""Before those who are connected have their turn: whoever connects without end keeps nobody waiting."""
MOST_BODIES = 4
"""What the bodies of all requests that are read or answered may hold, in those of the largest size."""
SEND_WITHIN_S = 10.0
LINGER_S = 2.0
"""How long a client that was refused may go on sending before its connection is closed."""
TICK_S = 1.0
FINISH_EARLIER_S = 3.0
"""Than gunicorn's master would end it."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
VERSIONS = {(1, 0), (1, 1)}
TOO_LATE = 408
COUNTED = {OVERLOADED: "shutterline_requests_overloaded", TOO_LATE: "shutterline_requests_timed_out"}
"""Of what is refused here, by HTTP's status: under which name, for Prometheus."""
TOO_MUCH = BadFraming(OVERLOADED, "overloaded", "too much is being received; ask again later")
NO_HTTP = BadFraming(400, "bad_request", "the request is no HTTP")
OTHER_VERSION = BadFraming(505, "http_version_not_supported", "HTTP/1.1 is spoken here")


class State(Enum):
    """What a connection does."""

    READING = auto()
    ANSWERING = auto()
    """A thread has it; the loop leaves it alone."""
    LINGERING = auto()
    """It was refused; what its client still sends is thrown away."""
    OVER = auto()


@dataclass(eq=False)
class Connection:
    """A client's connection."""

    socket: socket.socket
    client: Any
    server: Any
    framing: Framing
    state: State = State.READING
    until: float = 0.0
    greeted: bool = True
    """TLS has agreed, or there is none."""
    held: int = 0
    """Bytes that it has of those that all may hold."""
    told_to_continue: bool = False
    asked: bool = False
    """A request of it has been answered, or is."""


@dataclass
class Account:
    """How many bytes of bodies all requests hold; threads share it.

    Heads are not among them, which whoever connects may send: as many as may connect hold 29 MB.
    """

    limit: int
    held: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def hold(self, connection: Connection, size: int) -> bool:
        """Set what a connection holds; False: it is too much for all of them."""
        with self._lock:
            self.held += size - connection.held
            connection.held = size
            return self.held <= self.limit


class BufferingWorker(Worker):  # type: ignore[misc]
    """Reads whole requests in one loop; ``cfg.threads`` threads answer them."""

    def init_process(self) -> None:
        """Make what the loop needs, after the fork."""
        self.limits = self.app.limits
        self.account = Account(MOST_BODIES * self.limits.max_body_bytes)
        self.selector = selectors.DefaultSelector()
        self.connections: dict[int, Connection] = {}
        self.returned: deque[tuple[Connection, State]] = deque()
        self.threads = ThreadPoolExecutor(self.cfg.threads)
        super().init_process()

    def run(self) -> None:
        """Serve until SIGTERM, or until the master is no more."""
        self.selector.register(self.PIPE[0], selectors.EVENT_READ)
        for listener in self.sockets:
            listener.setblocking(False)
            self.selector.register(listener, selectors.EVENT_READ, listener)
        tick = 0.0
        while self.alive:
            if time.monotonic() >= tick:
                tick = time.monotonic() + TICK_S
                self._tick()
                if self.ppid != os.getppid():
                    break
            self._turn(TICK_S)
        self._finish()

    def _finish(self) -> None:
        """Take what clients have sent already, listen no more, and answer what has begun."""
        until = time.monotonic() + self.cfg.graceful_timeout - FINISH_EARLIER_S
        self.app.end()
        for listener in self.sockets:
            self._accept(listener, MOST_CONNECTIONS)
            self.selector.unregister(listener)
            listener.close()
        for connection in self._that(State.READING):
            self._read(connection)
            if connection.state is State.READING and not connection.framing.size:
                self._close(connection)
        while self.connections and time.monotonic() < until:
            self._tick()
            self._turn(TICK_S / 4)
        for connection in list(self.connections.values()):
            self._close(connection)
        self.threads.shutdown(wait=False, cancel_futures=True)

    def _turn(self, timeout_s: float) -> None:
        """Wait for whatever happens next, and see to it."""
        for key, _ in self.selector.select(timeout_s):
            if key.data is None:
                with suppress(BlockingIOError):
                    os.read(self.PIPE[0], PIECE_BYTES)
            elif isinstance(key.data, Connection):
                if key.data.state is not State.OVER:  # by what happened before it, in this turn
                    self._read(key.data)
            elif self.alive:
                self._accept(key.data, ACCEPTED_AT_ONCE)
        while self.returned:
            self._resume(*self.returned.popleft())

    def _tick(self) -> None:
        """Say that this worker lives, and end what takes too long."""
        self.notify()
        now = time.monotonic()
        late = [
            one for one in self.connections.values() if one.state is not State.ANSWERING and now > one.until
        ]
        for connection in late:
            if connection.state is State.READING and connection.framing.size:
                info = f"the request was not there within {self.limits.request_within_s:g} s"
                self._refuse(connection, BadFraming(TOO_LATE, "request_timeout", info))
            else:
                self._close(connection)

    def _that(self, state: State) -> list[Connection]:
        return [connection for connection in self.connections.values() if connection.state is state]

    def _accept(self, listener: socket.socket, most: int) -> None:
        """Take the connections that wait, so many of them."""
        for _ in range(most):
            try:
                accepted, client = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:  # no more files, or the client is gone already
                self.log.warning("a connection was not accepted: %s", error)
                self._make_room()
                return
            server = listener.getsockname()
            try:
                accepted.setblocking(False)
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                asked = server[1] == self.limits.port
                secured = asked and self.limits.tls is not None
                if secured:
                    accepted = self.limits.tls.wrap_socket(
                        accepted, server_side=True, do_handshake_on_connect=False
                    )
            except OSError:  # it is gone
                accepted.close()
                continue
            if len(self.connections) >= MOST_CONNECTIONS:
                self._make_room()
            framing = Framing(self._most_body if asked else _no_body)
            connection = Connection(accepted, client, server, framing)
            connection.greeted = not secured
            connection.until = time.monotonic() + (
                self.limits.request_within_s if secured else self.cfg.keepalive
            )
            self.connections[accepted.fileno()] = connection
            self.selector.register(accepted, selectors.EVENT_READ, connection)

    def _most_body(self, head: bytes) -> int:
        """How large a body a request may have: none where it shows no token; the application refuses it."""
        tokens = self.limits.tokens
        return self.limits.max_body_bytes if tokens is None or tokens.admit(authorization_of(head)) else 0

    def _make_room(self) -> None:
        """Close the connection that is closest to its end without having asked anything yet."""
        waiting = self._that(State.READING)
        silent = [
            connection for connection in waiting if not connection.asked and not connection.framing.size
        ]
        if waiting:
            self._close(min(silent or waiting, key=lambda connection: connection.until))

    def _read(self, connection: Connection) -> None:
        """Take what has arrived."""
        try:
            if not connection.greeted:
                self._greet(connection)
            data = connection.socket.recv(PIECE_BYTES)
            while isinstance(connection.socket, ssl.SSLSocket) and connection.socket.pending():
                data += connection.socket.recv(PIECE_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except ssl.SSLWantWriteError:  # TLS has more to say than fits
            self.selector.modify(connection.socket, selectors.EVENT_WRITE, connection)
            return
        except OSError:  # the connection broke, or TLS did not agree
            data = b""
        if not data:
            self._close(connection)
        elif connection.state is State.READING:
            if not connection.framing.size:
                connection.until = time.monotonic() + self.limits.request_within_s
            connection.framing.feed(data)
            self._go_on(connection)

    def _greet(self, connection: Connection) -> None:
        """Go on with what TLS has to agree on.

        Raises:
            ssl.SSLWantReadError, ssl.SSLWantWriteError: it has not yet.
            OSError: it does not, as without a certificate that the authority signed.
        """
        self.selector.modify(connection.socket, selectors.EVENT_READ, connection)
        connection.socket.do_handshake()  # type: ignore[attr-defined]
        connection.greeted = True
        connection.until = time.monotonic() + self.cfg.keepalive

    def _go_on(self, connection: Connection) -> None:
        """Hand a request that is complete to a thread; refuse what cannot become one."""
        framing = connection.framing
        try:
            received = framing.take()
        except BadFraming as error:
            self._refuse(connection, error)
            return
        size = framing.body_size + (len(received.body) if received else 0)
        if not self.account.hold(connection, size):
            self._refuse(connection, TOO_MUCH)
        elif received is not None:
            self.selector.unregister(connection.socket)
            connection.state, connection.asked = State.ANSWERING, True
            self.threads.submit(self._answer, connection, received, time.monotonic())
        elif framing.expects_continue and not connection.told_to_continue:
            connection.told_to_continue = True
            with suppress(OSError):
                connection.socket.send(CONTINUE)

    def _answer(self, connection: Connection, received: Received, arrived: float) -> None:
        """Answer a request, in a thread, and give the connection back to the loop."""
        following = State.OVER
        try:
            answer, keep = self._answered(connection, received, arrived)
            _send(connection.socket, answer)
            unread = received.too_large or connection.framing.size
            following = State.READING if keep else State.LINGERING if unread else State.OVER
        except OSError:  # nobody listens any more
            pass
        except Exception:
            self.log.exception("a connection failed")
        self.returned.append((connection, following))
        with suppress(BlockingIOError):  # the loop is awake anyway
            os.write(self.PIPE[1], b"1")

    def _resume(self, connection: Connection, following: State) -> None:
        """Go on with a connection that a thread has answered.

        Its state changes here alone: before the loop has it back, nobody may take it for one that is read.
        """
        connection.state = following
        connection.told_to_continue = False
        self.account.hold(connection, connection.framing.body_size)
        if following is State.OVER:
            self._close(connection)
        elif following is State.LINGERING:
            self._linger(connection)
        else:
            self._wait_for_the_next(connection)

    def _wait_for_the_next(self, connection: Connection) -> None:
        self.selector.register(connection.socket, selectors.EVENT_READ, connection)
        within_s = self.limits.request_within_s if connection.framing.size else self.cfg.keepalive
        connection.until = time.monotonic() + within_s
        if connection.framing.size:  # the next request was sent with the last one
            self._go_on(connection)
        elif not self.alive:
            self._close(connection)

    def _answered(self, connection: Connection, received: Received, arrived: float) -> tuple[bytes, bool]:
        """What the application answers, as bytes, and whether the connection may go on."""
        written = _Written()
        try:
            request = Request(self.cfg, IterUnreader(iter([received.head])), connection.client)
        except Exception:  # noqa: BLE001 - gunicorn's parser has a dozen unrelated exception classes
            return _plain(NO_HTTP), False
        if request.version not in VERSIONS:
            return _plain(OTHER_VERSION), False
        # It was told to go on when its head had been read.
        request.headers = [(name, value) for name, value in request.headers if name != "EXPECT"]
        response, environ = create(request, written, connection.client, connection.server, self.cfg)
        environ["wsgi.input"] = io.BytesIO(received.body)
        environ["wsgi.multithread"] = True
        environ[ARRIVED] = arrived
        environ.pop("HTTP_TRANSFER_ENCODING", None)  # it is undone
        beyond = max(self.limits.max_body_bytes + 1, int(environ.get("CONTENT_LENGTH") or 0))
        environ["CONTENT_LENGTH"] = str(beyond if received.too_large else len(received.body))
        if received.too_large or not self.alive:
            response.force_close()
        try:
            self._run_application(environ, response)
        except Exception:
            self.log.exception("a request failed")
            return _plain(BadFraming(500, *INTERNAL_ERROR)), False
        return written.content, not response.should_close()

    def _run_application(self, environ: dict[str, Any], response: Response) -> None:
        parts = self.wsgi(environ, response.start_response)
        try:
            for part in parts:
                response.write(part)
            response.close()
        finally:
            if hasattr(parts, "close"):
                parts.close()

    def _refuse(self, connection: Connection, error: BadFraming) -> None:
        """Say why a request is none, and close."""
        if error.code in COUNTED:
            self.app.metrics.count(COUNTED[error.code])
        with suppress(OSError):
            connection.socket.send(_plain(error))
        self.selector.unregister(connection.socket)
        self.account.hold(connection, 0)
        self._linger(connection)

    def _linger(self, connection: Connection) -> None:
        """Close when the client does: it may still send, and would lose the answer if it were cut off."""
        connection.state = State.LINGERING
        connection.framing = Framing(_no_body)
        self.account.hold(connection, 0)
        connection.until = time.monotonic() + LINGER_S
        try:
            self.selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(connection)

    def _close(self, connection: Connection) -> None:
        connection.state = State.OVER
        self.account.hold(connection, 0)
        self.connections.pop(connection.socket.fileno(), None)
        with suppress(KeyError, ValueError):
            self.selector.unregister(connection.socket)
        with suppress(OSError):
            connection.socket.close()


def _no_body(_: bytes) -> int:
    return 0


class _Written:
    """Stands for the socket where gunicorn's response writes, so that it goes out in one piece."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        """Take what is written."""
        self._parts.append(data)

    @property
    def content(self) -> bytes:
        """All of it."""
        return b"".join(self._parts)


def _send(connection: socket.socket, data: bytes) -> None:
    """Send, for at most ``SEND_WITHIN_S`` where the client reads slowly.

    Raises:
        OSError: the client is gone, or too slow.
    """
    connection.settimeout(SEND_WITHIN_S)
    connection.sendall(data)
    connection.setblocking(False)


def _plain(error: BadFraming) -> bytes:
    """An answer in Seldon's shape to what is no request, or never became one."""
    body = json.dumps({"status": status(error.code, error.reason, error.message)}).encode()
    title = error.reason.replace("_", " ").upper()
    again = f"Retry-After: {RETRY_AFTER_S}\r\n" if error.code == OVERLOADED else ""
    head = (
        f"HTTP/1.1 {error.code} {title}\r\nContent-Type: application/json\r\n{again}"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
