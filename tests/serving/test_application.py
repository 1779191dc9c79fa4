"""What a request meets before the model: a token, limits, the queue; over HTTP, on a service that runs."""

import gzip
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.serving.conftest import Service, StartService
from tests.serving.pictures import base64_of, encode, gradient

RAW = {"content-type": "application/octet-stream"}
PICTURE = encode(gradient(28, 28))
TOKEN = "a-token-of-this-test"
SLOW_SIDE = 5000
"""A picture of 25 million pixels: a few tenths of a second to decode, and 75 kB to send."""
MEANWHILE_S = 2.0
"""While the bytes of a large body are read and counted; parsing most of these takes longer."""
AT_ONCE_S = 5.0
"""What needs no place is answered in milliseconds; so much because other tests may have the processor."""


@pytest.fixture(scope="module")
def guarded(start_service: StartService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that asks for a token, listening on every address."""
    file = tmp_path_factory.mktemp("token") / "token"
    file.write_text(f"{TOKEN}\n")
    running = start_service("--host", "0.0.0.0", "--token-file", str(file))  # noqa: S104 - with a token
    running.wait_until_ready()
    yield running
    assert running.stop() == 0


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer another-token-of-this-test"}])
def test_without_the_token_nothing_is_answered(guarded: Service, headers: dict[str, str]) -> None:
    """401 in Seldon's shape, for predictions and for everything else but health."""
    answer = httpx.post(guarded.url, content=PICTURE, headers=RAW | headers | {"x-request-id": "order-1"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    said = answer.json()
    assert (said["status"]["code"], said["status"]["reason"]) == (401, "unauthorized")
    assert said["meta"] == {"puid": "order-1"}
    for path in ("/metadata", "/nowhere", "/health/../metadata"):
        assert httpx.get(f"http://127.0.0.1:{guarded.port}{path}", headers=headers).status_code == 401


def test_with_the_token_a_picture_is_answered(guarded: Service) -> None:
    """As everywhere else."""
    headers = RAW | {"authorization": f"Bearer {TOKEN}"}
    answer = httpx.post(guarded.url, content=PICTURE, headers=headers)
    assert answer.json()["jsonData"]["predictions"][0]["label"]


def test_health_and_metrics_need_no_token(guarded: Service) -> None:
    """Probes and Prometheus send none; the metrics port tells health too."""
    for port in (guarded.port, guarded.metrics_port):
        for path in ("/health/ping", "/health/status"):
            assert httpx.get(f"http://127.0.0.1:{port}{path}").status_code == 200
    assert "shutterline_requests" in guarded.metrics()
    assert httpx.post(f"http://127.0.0.1:{guarded.metrics_port}/predict", content=PICTURE).status_code == 404


def test_a_compressed_body_is_refused_as_it_is(service: Service) -> None:
    """Nothing is inflated, so no small body becomes a large one."""
    packed = gzip.compress(b"\0" * 10_000_000)
    answer = httpx.post(service.url, content=packed, headers=RAW | {"content-encoding": "gzip"})
    assert (answer.status_code, answer.json()["status"]["reason"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "body", ['{"binData": ' + "1" * 100_000 + "}", '{"binData": 1e999}', '{"binData": -Infinity}']
)
def test_a_huge_number_is_a_400(service: Service, body: str) -> None:
    """Neither the parser nor the answer chokes on it."""
    answer = httpx.post(service.url, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400


def test_what_never_reaches_the_model_is_counted(service: Service) -> None:
    """Among the requests, and among those that were refused: no message, and a compressed one."""

    def counted() -> list[float]:
        names = ("shutterline_requests_total", "shutterline_requests_refused_total")
        return [float(re.findall(rf"{name}{{[^}}]*}} (\S+)", service.metrics())[0]) for name in names]

    assert httpx.post(service.url, content=PICTURE, headers=RAW).status_code == 200
    before = counted()
    assert httpx.post(service.url, content=b"{").status_code == 400
    packed = httpx.post(service.url, content=b"x", headers=RAW | {"content-encoding": "gzip"})
    assert packed.status_code == 415
    assert counted() == [count + 2 for count in before]


def test_an_error_carries_the_request_s_id(service: Service) -> None:
    """Where the header names one; an insane one is left out."""
    header = {"x-request-id": "order-17"}
    for content, headers in ((b"text", RAW | header), (b"{", header)):
        assert httpx.post(service.url, content=content, headers=headers).json()["meta"] == {
            "puid": "order-17"
        }
    insane = httpx.post(service.url, content=b"{", headers={"x-request-id": "x" * 200})
    assert "meta" not in insane.json()


def test_what_is_known_of_a_request_besides_is_accepted(service: Service) -> None:
    """The key of an A/B test, as a header and as a tag, and whatever else `meta` holds."""
    meta = {"tags": {"request_key": "customer-5"}, "routing": {}, "unknown": [1]}
    answer = httpx.post(
        service.url,
        json={"binData": base64_of(PICTURE), "meta": meta},
        headers={"x-request-key": "customer-5"},
    )
    assert answer.status_code == 200


FORM = {"content-type": "application/x-www-form-urlencoded"}
MANY: dict[str, dict[str, Any]] = {
    "objects": {"content": b'{"jsonData":[' + b"{}," * 10_000_000 + b"{}]}"},
    "lists": {"content": b'{"jsonData":[' + b"[]," * 10_000_000 + b"[]]}"},
    "keys": {"content": b"{" + b",".join(b'"%07d":1' % key for key in range(2_600_000)) + b"}"},
    "numbers in a form": {"content": b"json=[" + b"1," * 10_000_000 + b"1]", "headers": FORM},
    "objects escaped in a form": {"content": b"json=" + b"%7b" * 900_000, "headers": FORM},
}


@pytest.mark.parametrize("name", sorted(MANY))
def test_a_body_of_many_parts_is_refused_and_keeps_nobody_waiting(service: Service, name: str) -> None:
    """A parser would make objects of it for seconds, in which the process answers nothing else."""
    url = f"http://127.0.0.1:{service.port}/health/status"
    with ThreadPoolExecutor(1) as pool, httpx.Client(timeout=60) as client:
        asked = pool.submit(httpx.post, service.url, timeout=60, **MANY[name])
        longest = 0.0
        while not asked.done():
            begun = time.monotonic()
            assert client.get(url).status_code == 200
            longest = max(longest, time.monotonic() - begun)
    answer = asked.result()
    assert (answer.status_code, answer.json()["status"]["reason"]) == (400, "bad_request")
    assert "more than 10,000 objects" in answer.json()["status"]["info"]
    assert longest < MEANWHILE_S


@contextmanager
def busy(service: Service, pool: ThreadPoolExecutor) -> Iterator[list[Future[httpx.Response]]]:
    """A service whose one place is taken for seconds, and its one place in the queue."""
    slow = base64_of(encode(Image.new("RGB", (SLOW_SIDE, SLOW_SIDE), "grey")))
    asked = [pool.submit(ask, service, {"jsonData": {"images": [slow] * 8}})]
    time.sleep(0.3)  # until it is being decoded
    asked.append(pool.submit(ask, service, {"binData": base64_of(PICTURE)}))
    time.sleep(0.2)  # until it waits
    yield asked
    for one in asked:
        one.result()


def ask(service: Service, message: dict[str, Any]) -> httpx.Response:
    return httpx.post(service.url, json=message, timeout=60)


@pytest.fixture(scope="module")
def narrow(start_service: StartService) -> Iterator[Service]:
    """A service for one request at a time, before which one may wait."""
    running = start_service("--workers", "1", "--queue", "1", "--queue-wait-s", "30")
    running.wait_until_ready()
    yield running
    assert running.stop() == 0


def test_more_than_may_wait_are_refused_at_once(narrow: Service) -> None:
    """429 with Retry-After in Seldon's shape; the accepted are answered, and nobody else is kept waiting."""
    with ThreadPoolExecutor(8) as pool:
        with busy(narrow, pool) as accepted:
            begun = time.monotonic()
            with httpx.Client() as client:  # made once: that costs more than all of these answers
                refused = [client.post(narrow.url, json={"binData": base64_of(PICTURE)}) for _ in range(5)]
                for port in (narrow.port, narrow.metrics_port):
                    health = client.get(f"http://127.0.0.1:{port}/health/status")
                    assert health.status_code == 200
            narrow.metrics()
            taken = time.monotonic() - begun
            assert not any(one.done() for one in accepted)
        assert {answer.status_code for answer in refused} == {429}
        assert {answer.headers["retry-after"] for answer in refused} == {"1"}
        said = refused[0].json()["status"]
        assert (said["code"], said["reason"], said["status"]) == (429, "overloaded", 1)
        assert [one.result().status_code for one in accepted] == [200, 200]
        assert taken < AT_ONCE_S
    assert "shutterline_requests_overloaded_total{" in narrow.metrics()


def test_who_waited_long_enough_is_refused(start_service: StartService) -> None:
    """The wait is bounded in time too."""
    impatient = start_service("--workers", "1", "--queue", "5", "--queue-wait-s", "0.1")
    impatient.wait_until_ready()
    with ThreadPoolExecutor(8) as pool, busy(impatient, pool) as (long, short):
        assert short.result().status_code == 429
        assert "within 0.1 s" in short.result().json()["status"]["info"]
        assert not long.done()
    assert long.result().status_code == 200
    assert impatient.stop() == 0


def test_several_workers_answer_at_the_same_time(start_service: StartService) -> None:
    """With two places and no queue two requests are both answered, and a third is refused."""
    wide = start_service("--workers", "2", "--queue", "0")
    wide.wait_until_ready()
    slow = base64_of(encode(Image.new("RGB", (SLOW_SIDE, SLOW_SIDE), "grey")))
    together = threading.Barrier(3)

    def at_once() -> int:
        together.wait()
        return ask(wide, {"jsonData": {"images": [slow] * 3}}).status_code

    with ThreadPoolExecutor(3) as pool:
        codes = sorted(one.result() for one in [pool.submit(at_once) for _ in range(3)])
    assert codes == [200, 200, 429]
    assert wide.stop() == 0


def test_an_unreadable_token_file_ends_the_start(start_service: StartService, tmp_path: Path) -> None:
    """Exit code 2, and the file is named."""
    wrong = start_service("--token-file", str(tmp_path / "none"))
    assert wrong.process.wait(timeout=30) == 2
    assert f"{tmp_path}/none" in wrong.log.read_text().splitlines()[-1]
