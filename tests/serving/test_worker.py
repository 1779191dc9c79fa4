"""Clients that are slow, silent, half closed or no HTTP at all, before a service that runs."""

import contextlib
import itertools
import json
import re
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image

from tests.serving.certificates import Authority
from tests.serving.conftest import Service, StartService, in_serving_environment
from tests.serving.pictures import base64_of, encode, gradient

PICTURE = encode(gradient(28, 28))
PATH = b"POST /api/v1.0/predictions HTTP/1.1\r\nhost: x\r\n"
RAW = PATH + b"content-type: application/octet-stream\r\n"
PING = b"GET /health/ping HTTP/1.1\r\nhost: x\r\n\r\n"
WHOLE = RAW + b"content-length: %d\r\n\r\n%s" % (len(PICTURE), PICTURE)
TOKEN = "a-token-of-this-test"
WITHIN_S = 1.0
"""What the service of this file gives a request to arrive."""
MOST_CONNECTIONS = 900
"""That the service keeps."""
SLOW_CLIENTS = 100
"""More than it has threads."""
AT_ONCE_S = 5.0
GRACEFUL_TIMEOUT_S = 30.0
"""The longest that an end may take."""


@pytest.fixture(scope="module")
def service(start_service: StartService) -> Iterator[Service]:
    """A service that is told not to be patient, with less memory for bodies."""
    running = start_service("--request-within-s", str(WITHIN_S), "--max-body-bytes", "1000000")
    running.wait_until_ready()
    yield running
    assert "Traceback" not in running.log.read_text()
    assert running.stop() == 0


def connect(service: Service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=30)


def read(connection: socket.socket, count: int = 1) -> list[tuple[int, str]]:
    """Read answers, by their lengths: status and body."""
    received, found = b"", list[tuple[int, str]]()
    while len(found) < count:
        head, end, rest = received.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        if end and head.startswith(b"HTTP/1.1 100"):
            received = rest
        elif end and length and len(rest) >= int(length[1]):
            found.append((int(head.split()[1]), rest[: int(length[1])].decode()))
            received = rest[int(length[1]) :]
        else:
            part = connection.recv(65536)
            assert part, f"the connection was closed after {received!r}"
            received += part
    assert received == b""
    return found


def is_closed(connection: socket.socket) -> bool:
    """Whether the service closes the connection, soon."""
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(65536):
            pass
    return True


def test_slow_clients_keep_nobody_waiting(service: Service) -> None:
    """A hundred that send a byte now and then: health and pictures are answered, and they get a 408."""
    slow = [connect(service) for _ in range(SLOW_CLIENTS)]
    for connection in slow:
        connection.sendall(WHOLE[:40])
    begun = time.monotonic()
    url = f"http://127.0.0.1:{service.port}"
    assert httpx.get(f"{url}/health/ping").status_code == 200
    answer = httpx.post(service.url, content=PICTURE, headers={"content-type": "application/octet-stream"})
    assert answer.status_code == 200
    assert time.monotonic() - begun < AT_ONCE_S
    for connection in slow:
        with contextlib.suppress(OSError):  # the service has lost patience
            connection.sendall(b"x")
    for connection in slow:
        ((code, body),) = read(connection)
        assert (code, json.loads(body)["status"]["reason"]) == (408, "request_timeout")
        connection.close()


def test_a_request_may_arrive_byte_by_byte(service: Service) -> None:
    """In time it is a request as any other."""
    with connect(service) as connection:
        for at in range(0, len(WHOLE), len(WHOLE) // 50):
            connection.sendall(WHOLE[at : at + len(WHOLE) // 50])
            time.sleep(0.001)
        assert read(connection)[0][0] == 200


def test_requests_that_were_sent_together_are_answered_in_turn(service: Service) -> None:
    """Three in one piece, then one more on the same connection."""
    with connect(service) as connection:
        connection.sendall(WHOLE + PATH + b"content-length: 1\r\n\r\n{" + WHOLE)
        assert [code for code, _ in read(connection, 3)] == [200, 400, 200]
        connection.sendall(WHOLE)
        assert read(connection)[0][0] == 200


def test_a_body_in_chunks_is_put_together(service: Service) -> None:
    """With the same answer as in one piece."""
    halves = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (PICTURE[:100], PICTURE[100:]))
    with connect(service) as connection:
        connection.sendall(RAW + b"transfer-encoding: chunked\r\n\r\n" + halves + b"0\r\n\r\n" + WHOLE)
        (chunked, whole) = (json.loads(body)["jsonData"]["predictions"] for _, body in read(connection, 2))
        assert chunked == whole


def test_a_client_that_has_said_all_and_listens_is_answered(service: Service) -> None:
    """Its half of the connection is closed before the answer is there."""
    with connect(service) as connection:
        connection.sendall(WHOLE)
        connection.shutdown(socket.SHUT_WR)
        assert read(connection)[0][0] == 200
        assert is_closed(connection)


def test_a_client_that_waits_for_a_word_gets_it(service: Service) -> None:
    """`Expect: 100-continue`, as curl sends with a large picture; once."""
    with connect(service) as connection:
        head = RAW + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(PICTURE)
        connection.sendall(head)
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(PICTURE)
        received = connection.recv(65536)
        assert received.startswith(b"HTTP/1.1 200 OK")


def test_a_client_that_is_gone_costs_nothing(service: Service) -> None:
    """In the middle of a request, and before its answer."""
    for sent in (WHOLE[:50], WHOLE):
        for _ in range(20):
            with connect(service) as connection:
                connection.sendall(sent)
    worker = psutil.Process(service.process.pid).children()[0]
    deadline = time.monotonic() + 30
    while any(one.status == "CLOSE_WAIT" for one in worker.net_connections("tcp")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with connect(service) as connection:
        connection.sendall(WHOLE)
        assert read(connection)[0][0] == 200


NO_REQUESTS = {
    "a word": (b"hello\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "a header without a colon": (PATH + b"nonsense\r\n\r\n", 400),
    "a header's name with a space": (PATH + b"content-length : 1\r\n\r\n", 400),
    "two lengths": (PATH + b"content-length: 1\r\ncontent-length: 2\r\n\r\nx", 400),
    "a length and chunks": (PATH + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400),
    "endless headers": (PATH + b"x: y\r\n" * 9000, 431),
    "too long a line": (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", sorted(NO_REQUESTS))
def test_what_is_no_request_is_refused_in_seldon_s_shape(service: Service, name: str) -> None:
    """Nothing of it is answered, nothing breaks, and the connection ends."""
    sent, code = NO_REQUESTS[name]
    with connect(service) as connection:
        connection.sendall(sent)
        ((answered, body),) = read(connection)
        assert (answered, json.loads(body)["status"]["code"]) == (code, code)
        assert is_closed(connection)


def test_a_refused_body_is_read_no_further_and_the_refusal_arrives(service: Service) -> None:
    """413, although the client goes on sending what nobody takes."""
    with connect(service) as connection:
        connection.sendall(RAW + b"content-length: 5000000\r\n\r\n")
        for _ in range(5):
            connection.sendall(b"x" * 1_000_000)
        assert read(connection)[0][0] == 413


def test_bodies_that_are_being_received_share_a_limit_of_memory(service: Service) -> None:
    """Four of the largest size together; whoever is one too many gets a 429, and the memory comes back."""
    head = RAW + b"content-length: 1000000\r\n\r\n"
    connections = [connect(service) for _ in range(12)]
    for connection in connections:
        with contextlib.suppress(OSError):
            connection.sendall(head + b"x" * 900_000)
    codes = [read(connection)[0][0] for connection in connections]
    assert codes.count(429) >= 12 - 4
    assert set(codes) == {429, 408}
    for connection in connections:
        connection.close()
    with connect(service) as connection:
        connection.sendall(WHOLE)
        assert read(connection)[0][0] == 200


@pytest.fixture(scope="module")
def guarded(start_service: StartService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that asks for a token, with memory for four bodies of a megabyte."""
    file = tmp_path_factory.mktemp("token") / "token"
    file.write_text(TOKEN)
    running = start_service("--token-file", str(file), "--max-body-bytes", "1000000")
    running.wait_until_ready()
    yield running
    assert "Traceback" not in running.log.read_text()
    assert running.stop() == 0


def ask_with_token(service: Service) -> int:
    """Send the largest body that is taken, with the token; the status of the answer."""
    body = PICTURE + bytes(1_000_000 - len(PICTURE))
    with connect(service) as connection:
        connection.sendall(RAW + b"authorization: Bearer %s\r\n" % TOKEN.encode())
        connection.sendall(b"content-length: %d\r\n\r\n%s" % (len(body), body))
        return read(connection)[0][0]


LENGTH, CHUNKS = b"content-length: 900001\r\n\r\n", b"transfer-encoding: chunked\r\n\r\ndbba1\r\n"
UNKNOWN = {
    "no token": (RAW + LENGTH, 401),
    "another token": (RAW + b"authorization: Bearer another-token-of-this-test\r\n" + LENGTH, 401),
    "in chunks": (RAW + CHUNKS, 401),
    "feedback": (b"POST /api/v1.0/feedback HTTP/1.1\r\nhost: x\r\n" + LENGTH, 401),
    "health": (b"GET /health/ping HTTP/1.1\r\nhost: x\r\n" + LENGTH, 200),
    "beside health": (b"POST /health/../predict HTTP/1.1\r\nhost: x\r\n" + LENGTH, 404),
}


@pytest.mark.parametrize("name", sorted(UNKNOWN))
def test_who_shows_no_token_takes_no_memory_from_those_who_do(guarded: Service, name: str) -> None:
    """Half-sent bodies on many connections are answered unread, and the others are served."""
    head, code = UNKNOWN[name]
    connections = [connect(guarded) for _ in range(12)]
    for connection in connections:
        with contextlib.suppress(OSError):  # the answer may be there, and the connection closed
            connection.sendall(head + bytes(900_000))
    assert [ask_with_token(guarded) for _ in range(3)] == [200, 200, 200]
    for connection in connections:
        assert read(connection)[0][0] == code
        connection.close()


def test_the_metrics_port_takes_no_bodies(guarded: Service) -> None:
    """Whoever reaches it needs no token: nothing that is sent there is kept."""
    connections = [
        socket.create_connection(("127.0.0.1", guarded.metrics_port), timeout=30) for _ in range(12)
    ]
    for connection in connections:
        with contextlib.suppress(OSError):
            connection.sendall(RAW + LENGTH + bytes(900_000))
    assert ask_with_token(guarded) == 200
    for connection in connections:
        assert read(connection)[0][0] == 404
        connection.close()
    assert "shutterline_requests_total{" in guarded.metrics()


def test_half_sent_heads_take_no_memory_from_bodies(guarded: Service) -> None:
    """Of so many that they are more than the memory for bodies."""
    connections = [connect(guarded) for _ in range(200)]
    for connection in connections:
        connection.sendall(RAW + b"x: " + b"y" * 30_000)
    assert ask_with_token(guarded) == 200
    for connection in connections:
        connection.close()


def test_what_is_refused_while_it_is_received_is_counted(start_service: StartService) -> None:
    """By its status, apart from what the model has seen: too much at once, and too slow."""
    counting = start_service("--request-within-s", str(WITHIN_S), "--max-body-bytes", "1000000")
    counting.wait_until_ready()
    connections = [connect(counting) for _ in range(6)]
    for connection in connections:
        with contextlib.suppress(OSError):
            connection.sendall(RAW + b"content-length: 1000000\r\n\r\n" + bytes(900_000))
    codes = Counter(read(connection)[0][0] for connection in connections)
    for connection in connections:
        connection.close()
    assert set(codes) == {429, 408}
    assert counted(counting, "overloaded") == codes[429]
    assert counted(counting, "timed_out") == codes[408]
    assert counting.stop() == 0


def counted(service: Service, what: str) -> float:
    """What Prometheus reads of requests that were refused so."""
    (value,) = re.findall(rf"shutterline_requests_{what}_total{{[^}}]*}} (\S+)", service.metrics())
    return float(value)


def test_the_oldest_silent_connection_makes_room_for_a_new_one(service: Service) -> None:
    """Whoever opens a thousand connections and says nothing shuts nobody out."""
    silent = [connect(service) for _ in range(950)]
    with connect(service) as connection:
        connection.sendall(WHOLE)
        assert read(connection)[0][0] == 200
    assert is_closed(silent[0])
    for connection in silent:
        connection.close()


def test_silent_connections_push_out_nobody_who_asks(service: Service) -> None:
    """While each new one takes the place of an old one, all requests are answered, by the same process."""
    worker, over = psutil.Process(service.process.pid).children(), threading.Event()

    def ask(connection: socket.socket) -> int:
        for answers in itertools.count():
            if over.is_set():
                return answers
            connection.sendall(PING)
            assert read(connection) == [(200, "pong")]
        raise AssertionError

    with ThreadPoolExecutor(6) as clients, contextlib.ExitStack() as opened:
        opened.callback(over.set)
        known = [opened.enter_context(connect(service)) for _ in range(6)]
        for connection in known:
            connection.sendall(PING)
            assert read(connection) == [(200, "pong")]
        asking = [clients.submit(ask, connection) for connection in known]
        silent = deque[socket.socket]()
        for _ in range(5 * MOST_CONNECTIONS):
            silent.append(opened.enter_context(connect(service)))
            if len(silent) > MOST_CONNECTIONS:
                silent.popleft().close()
        over.set()
        assert min(one.result() for one in asking) > 0
    assert psutil.Process(service.process.pid).children() == worker


PARTS = (
    "import json, sys; sys.path.append('tests/serving'); import worker_parts; "
    "print(json.dumps(worker_parts.{}()))"
)
"""Of a worker in a process of its own, where the order of what happens is given."""


@pytest.mark.parametrize("meanwhile", ["room_is_made", "its_time_ran_out"])
def test_a_connection_that_was_just_answered_goes_on(meanwhile: str) -> None:
    """Whatever the loop does before it has the connection back: the next request is answered too."""
    assert in_serving_environment(PARTS.format(meanwhile)) == ["pong", "pong"]


def test_who_connects_without_end_keeps_nobody_waiting() -> None:
    """A request that has arrived is read before the place of its connection is given away."""
    assert in_serving_environment(PARTS.format("more_connect_than_there_is_room_for")) == ["pong"]


def test_who_speaks_when_it_is_pushed_out_ends_nothing() -> None:
    """TLS's first byte and the connection that takes its sender's place, seen in one turn."""
    assert in_serving_environment(PARTS.format("tls_begins_too_late")) == ["closed", "open"]


def test_what_arrives_with_sigterm_is_answered(start_service: StartService) -> None:
    """On connections that are open: what has been sent; an idle one is closed; a new one is not accepted."""
    stopping = start_service("--workers", "1", "--queue-wait-s", "30")
    stopping.wait_until_ready()
    idle, kept, new = connect(stopping), connect(stopping), connect(stopping)
    kept.sendall(WHOLE)
    assert read(kept)[0][0] == 200
    many = {"jsonData": {"images": [base64_of(encode(Image.new("RGB", (4000, 4000), "grey")))] * 5}}
    body = json.dumps(many).encode()
    for connection in (kept, new):
        connection.sendall(PATH + b"content-length: %d\r\n\r\n%s" % (len(body), body))
    time.sleep(0.3)  # until the first is being answered
    stopping.process.terminate()
    answers = [read(connection)[0][0] for connection in (kept, new)]
    assert answers == [200, 200]
    assert all(is_closed(connection) for connection in (idle, kept, new))
    assert stopping.process.wait(timeout=40) == 0


def test_a_slow_client_does_not_hold_up_the_end(start_service: StartService) -> None:
    """After SIGTERM it gets the time that every client gets, and a 408."""
    stopping = start_service("--request-within-s", "1")
    stopping.wait_until_ready()
    with connect(stopping) as connection:
        connection.sendall(WHOLE[:-1])
        time.sleep(0.2)  # until it is being read
        stopping.process.terminate()
        assert read(connection)[0][0] == 408
        begun = time.monotonic()
        assert stopping.process.wait(timeout=40) == 0
        assert time.monotonic() - begun < GRACEFUL_TIMEOUT_S / 2


def test_a_client_that_never_agrees_on_tls_is_closed(start_service: StartService, tmp_path: Path) -> None:
    """And holds nobody else up meanwhile; the metrics port stays plain, for probes and Prometheus."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue("service")
    files = ("--tls-certificate", str(certificate), "--tls-key", str(key))
    mutual = start_service(*files, "--client-ca", str(authority.certificate), "--request-within-s", "1")
    mutual.wait_until_listening()
    silent = [connect(mutual) for _ in range(60)]
    with httpx.Client(verify=authority.client("shop")) as client:
        url = mutual.url.replace("http:", "https:")
        for _ in range(2):
            answer = client.post(url, content=PICTURE, headers={"content-type": "application/octet-stream"})
            assert answer.status_code == 200
    assert all(is_closed(connection) for connection in silent)
    assert httpx.get(f"http://127.0.0.1:{mutual.metrics_port}/health/status").status_code == 200
    assert "shutterline_requests" in mutual.metrics()
    assert mutual.stop() == 0
