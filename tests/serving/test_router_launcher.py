"""A really started router: Seldon's internal API, keys in headers and bodies, a token, its end."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.main.home import free_port
from serving.router import KeyRouter
from tests.serving.conftest import ROOT, SERVING_PYTHON, STARTS_WITHIN_S, serving_environment

SHARE, TOKEN = 0.5, "a-token-of-the-tests"
KEYS = [f"customer-{number}" for number in range(30)]
AT_ONCE_S = 5.0
RAW = {"content-type": "application/octet-stream"}


def start(*options: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [SERVING_PYTHON, "-m", "serving.router_launcher", *options],
        cwd=ROOT,
        env=serving_environment(),
        stderr=subprocess.PIPE,
    )


@contextmanager
def running(*options: str) -> Iterator[tuple[httpx.Client, int]]:
    """A client of a router, and the port of its metrics."""
    port, metrics_port = free_port(), free_port()
    ports = ("--port", str(port), "--metrics-port", str(metrics_port))
    process = start(*ports, "--share", str(SHARE), *options)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            ends = time.monotonic() + STARTS_WITHIN_S
            while True:
                try:
                    client.get("/health/ping")
                    break
                except httpx.HTTPError:
                    assert process.poll() is None
                    assert time.monotonic() < ends
                    time.sleep(0.05)
            yield client, metrics_port
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def router() -> Iterator[tuple[httpx.Client, int]]:
    """A router that everyone on loopback may ask."""
    with running() as started:
        yield started


def child(answer: httpx.Response) -> int:
    [[found]] = answer.raise_for_status().json()["data"]["ndarray"]
    return int(found)


def expected(message: dict[str, Any]) -> int:
    [[found]] = KeyRouter(share=SHARE).route_raw(message)["data"]["ndarray"]
    return int(found)


def test_a_key_is_found_in_a_header_or_in_the_message(router: tuple[httpx.Client, int]) -> None:
    """Of a raw picture too; the header goes before what the message says."""
    client, _ = router
    for key in KEYS:
        message = {"binData": "", "meta": {"tags": {"request_key": key}}}
        wanted = expected(message)
        assert child(client.post("/route", json=message)) == wanted
        header = {"x-request-key": key}
        assert child(client.post("/route", content=b"picture", headers={**RAW, **header})) == wanted
        other = {"meta": {"tags": {"request_key": "other"}, "puid": "other"}}
        assert child(client.post("/route", json=other, headers=header)) == wanted
    assert {expected({"meta": {"puid": key}}) for key in KEYS} == {0, 1}


def test_without_a_key_the_request_id_counts(router: tuple[httpx.Client, int]) -> None:
    """The message's own, else the ingress's, else the one that Seldon's engine made."""
    client, _ = router
    for key in KEYS:
        wanted = expected({"meta": {"puid": key}})
        assert child(client.post("/route", json={"meta": {"puid": key}})) == wanted
        assert child(client.post("/route", content=b"p", headers={**RAW, "x-request-id": key})) == wanted
        assert child(client.post("/route", content=b"p", headers={**RAW, "seldon-puid": key})) == wanted
        both = {**RAW, "seldon-puid": "other", "x-request-id": key}
        assert child(client.post("/route", content=b"p", headers=both)) == wanted
        own = client.post("/route", json={"meta": {"puid": key}}, headers={"x-request-id": "other"})
        assert child(own) == wanted


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"null", b"\xff\xfe", b'{"meta": 7}', b"[" * 5000])
def test_what_no_version_could_read_is_led_on_all_the_same(
    router: tuple[httpx.Client, int], body: bytes
) -> None:
    """The version says what is wrong with it."""
    client, _ = router
    answer = client.post("/route", content=body, headers={"content-type": "application/json"})
    assert child(answer) in (0, 1)


def test_a_message_of_many_parts_is_not_read(router: tuple[httpx.Client, int]) -> None:
    """The version refuses it, whoever it is: it goes to the champion, unless a header names its key."""
    client, _ = router
    key = next(key for key in KEYS if expected({"meta": {"puid": key}}))
    message = {"meta": {"puid": key}, "jsonData": [{}] * 20_000}
    assert child(client.post("/route", json=message)) == 0
    assert child(client.post("/route", json=message, headers={"x-request-key": key})) == 1


def test_nothing_else_answers_and_bodies_are_limited() -> None:
    """Neither predictions nor feedback are a router's; a body that is too large is a 413."""
    with running("--max-body-bytes", "100") as (client, metrics_port):
        assert client.get("/health/status").json()["jsonData"] == {"share": SHARE}
        for path in ("/predict", "/api/v1.0/predictions", "/send-feedback", "/metadata"):
            assert client.post(path, json={}).status_code in (404, 405)
        answer = client.post("/route", content=b"x" * 101, headers=RAW)
        assert (answer.status_code, answer.json()["status"]["code"]) == (413, 413)
        metrics = httpx.get(f"http://127.0.0.1:{metrics_port}/metrics", trust_env=False)
        assert metrics.status_code == 200


def test_with_a_token_nobody_is_led_on_without_it(tmp_path: Path) -> None:
    """Health is for everyone."""
    file = tmp_path / "token"
    file.write_text(TOKEN)
    with running("--token-file", str(file)) as (client, _):
        assert client.get("/health/status").status_code == 200
        assert client.post("/route", json={}).status_code == 401
        assert child(client.post("/route", json={}, headers={"authorization": f"Bearer {TOKEN}"})) == 0


@pytest.mark.parametrize("sent", [b"", b"G"], ids=["nothing", "a byte"])
def test_silent_connections_stop_nobody(router: tuple[httpx.Client, int], sent: bytes) -> None:
    """More than the router has threads or places, on both ports: keys are routed, and health is told."""
    client, metrics_port = router
    with ExitStack() as opened:
        for port in (client.base_url.port, metrics_port):
            for _ in range(480):
                connection = opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
                connection.sendall(sent)
        message = {"meta": {"puid": "k"}}
        assert child(client.post("/route", json=message, timeout=AT_ONCE_S)) == expected(message)
        for port in (client.base_url.port, metrics_port):
            answer = httpx.get(f"http://127.0.0.1:{port}/health/ping", timeout=AT_ONCE_S)
            assert answer.status_code == 200


def test_who_takes_too_long_to_send_is_told_so_and_counted() -> None:
    """With the router's own limit of time."""
    with running("--request-within-s", "0.5") as (client, metrics_port):
        with socket.create_connection(("127.0.0.1", client.base_url.port), timeout=30) as connection:
            connection.sendall(b"POST /route HTTP/1.1\r\ncontent-length: 9\r\n\r\n{")
            assert connection.recv(65_536).startswith(b"HTTP/1.1 408 ")
        metrics = httpx.get(f"http://127.0.0.1:{metrics_port}/metrics").text
        assert "shutterline_requests_timed_out_total{" in metrics


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--share", "1.5"), "--share: share is 1.5; it lies between 0 and 1"),
        (("--share", "0.5", "--host", "0.0.0.0"), "0.0.0.0 is not loopback"),  # noqa: S104
        (("--share", "0.5", "--tls-key", "k"), "--tls-certificate"),
    ],
)
def test_what_cannot_be_started_is_said_in_one_line(options: tuple[str, ...], says: str) -> None:
    """A share that is none, a network without a token: exit code 2."""
    process = start("--port", str(free_port()), "--metrics-port", str(free_port()), *options)
    _, said = process.communicate(timeout=STARTS_WITHIN_S)
    assert process.returncode == 2
    line = said.decode().strip().splitlines()[-1]
    assert line.startswith("serving.router_launcher: not started: ")
    assert says in line


def test_the_answer_is_what_seldons_engine_reads(router: tuple[httpx.Client, int]) -> None:
    """A Seldon message by Seldon's own types, with one number in a row."""
    client, _ = router
    answer = client.post("/route", json={"meta": {"puid": "k"}}).json()
    code = (
        "import json, sys; from seldon_core.utils import json_to_seldon_message as read; "
        "message = read(json.loads(sys.argv[1])); "
        "print(json.dumps([v.list_value.values[0].number_value for v in message.data.ndarray.values]))"
    )
    done = subprocess.run(
        [SERVING_PYTHON, "-W", "ignore", "-c", code, json.dumps(answer)],
        cwd=ROOT,
        env=serving_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [expected({"meta": {"puid": "k"}})]
