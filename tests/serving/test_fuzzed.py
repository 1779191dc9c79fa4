"""Whatever is sent: no 500, no dead worker, no stack trace, no growth of memory."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psutil
import pytest
from hypothesis import HealthCheck, given, settings

from tests.serving.conftest import Service, StartService
from tests.serving.fuzzing import RAW, Sent, fault, requests
from tests.serving.pictures import encode, gradient

GROWTH_BYTES = 60_000_000
"""What the largest pictures among these need once; a leak of 300 kB a request would exceed it."""
REASONS = {"bad_request", "not_an_image", "unknown_keys"}


@pytest.fixture(scope="module")
def fuzzed(start_service: StartService) -> Iterator[Service]:
    """A service that has answered a picture of each size, so that its memory is what it will be."""
    running = start_service(max_pixels=1_000_000, max_batch=4)
    running.wait_until_ready()
    yield running
    assert running.stop() == 0


@contextmanager
def unharmed(service: Service) -> Iterator[None]:
    """Hold the same worker to be there afterwards, to have grown little, and to have logged no trace."""
    worker = psutil.Process(service.process.pid).children()
    before = worker[0].memory_info().rss
    yield
    assert psutil.Process(service.process.pid).children() == worker
    assert worker[0].memory_info().rss - before < GROWTH_BYTES
    assert "Traceback" not in service.log.read_text()
    picture = encode(gradient(28, 28))
    assert httpx.post(service.url, content=picture, headers={"content-type": RAW}).status_code == 200


def test_whatever_is_sent_is_answered_in_seldon_s_shape(fuzzed: Service) -> None:
    """Pictures, messages and headers, mutated: 200 or a 4xx with a reason, from one worker."""
    reasons = set[str]()
    with httpx.Client() as client, unharmed(fuzzed):

        @settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(requests())
        def send(sent: Sent) -> None:
            headers = [(name, value.encode("latin-1")) for name, value in sent.headers.items()]
            answer = client.post(fuzzed.url, content=sent.body, headers=headers)  # type: ignore[arg-type]
            assert fault(answer.status_code, answer.content) is None
            reasons.add(answer.json().get("status", {}).get("reason", "answered"))

        send()
    assert reasons >= {"answered", *REASONS}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b'{"status": {"status": 1, "code": 500, "reason": "x", "info": "y"}}'),
        (200, b'{"jsonData": {"predictions": []}}'),
        (400, b'{"status": {"status": 1, "code": 400, "reason": "", "info": "y"}}'),
        (400, b'{"status": {"status": 1, "code": 400, "reason": "unheard_of", "info": "y"}}'),
        (
            400,
            b'{"status": {"status": 1, "code": 400, "reason": "empty", "info": "Traceback (most"}}',
        ),
        (400, b"<html></html>"),
    ],
)
def test_a_faulty_answer_is_noticed(status: int, body: bytes) -> None:
    """What the fuzzing looks for would be found."""
    assert fault(status, body)
