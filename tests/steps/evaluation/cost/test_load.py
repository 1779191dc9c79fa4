"""A stall is seen by every request that it would have kept waiting, and failures are counted."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest

from benchmarks.main.home import free_port
from steps.evaluation.cost.load import NoPrediction, Target, ask, moments, offer
from tests.steps.evaluation.cost.servers import service

PICTURES = [b"one", b"two"]
A_SECOND = np.arange(200) / 200


def test_moments_are_those_of_independent_customers() -> None:
    """Exactly the rate, ascending, gaps as spread as a Poisson process has them, the same for a seed."""
    drawn = moments(50.0, 2_000, seed=3)
    gaps = np.diff(drawn)
    assert len(drawn) == 2_000
    assert (gaps >= 0).all()
    assert 39 < drawn[-1] <= 40
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.1)
    assert (drawn == moments(50.0, 2_000, seed=3)).all()
    assert (drawn != moments(50.0, 2_000, seed=4)).any()


def test_a_stall_is_seen_by_all_that_it_would_have_kept_waiting() -> None:
    """Half a second in which nothing is answered meets 100 of 200 requests, over two connections alone."""
    answering = threading.Lock()

    def stall_once(number: int) -> None:
        with answering:
            time.sleep(0.5 if number == 50 else 0)

    with service(stall_once) as url:
        load = offer(Target.of(url), PICTURES, A_SECOND, connections=2)
    assert load.failed == 0
    assert len(load.latencies_ms) == 200
    assert load.latencies_ms.max() >= 500
    # Sent one after the other, two would have waited.
    assert (load.latencies_ms > 100).sum() >= 75
    assert np.median(load.latencies_ms[:40]) < 50


def test_failures_are_counted_and_are_slower_than_any_answer() -> None:
    """An error of the service and a connection that breaks: no latency, and the reason is kept."""
    with service(status=lambda number: {0: 500, 1: 0}.get(number % 4, 200)) as url:
        load = offer(Target.of(url), PICTURES, np.zeros(40), connections=1)
    assert load.failed == 20
    assert np.isinf(np.sort(load.latencies_ms)[-20:]).all()
    assert len(load.failures) == 2
    assert any("HTTP 500" in failure for failure in load.failures)


def test_nobody_listening_is_a_failure_of_every_request() -> None:
    """Nothing raises: a service that ended is a result."""
    load = offer(Target.of(f"http://127.0.0.1:{free_port()}/"), PICTURES, np.zeros(5), connections=2)
    assert load.failed == 5
    assert "refused" in load.failures[0]


def test_it_stops_sending_once_enough_are_slow() -> None:
    """What five slow answers have decided is not decided again by 200."""
    with service(lambda number: time.sleep(0.05)) as url:
        begun = time.monotonic()
        load = offer(Target.of(url), PICTURES, 10 * A_SECOND, connections=4, slow_ms=20, most_slow=5)
    assert 5 < len(load.latencies_ms) < 20
    assert time.monotonic() - begun < 5


def test_what_waits_too_long_to_be_sent_has_failed() -> None:
    """A service that is far too slow ends the load, instead of being waited for."""
    with service(lambda number: time.sleep(0.1)) as url:
        load = offer(Target.of(url), PICTURES, np.arange(30) / 1000, connections=1, drain_s=0.3)
    assert len(load.latencies_ms) == 30
    assert load.failed >= 20
    assert load.seconds < 2


def test_requests_follow_one_another_where_all_moments_are_now() -> None:
    """Four at a time, each a hundredth of a second: 400 a second at most."""
    with service(lambda number: time.sleep(0.01)) as url:
        load = offer(Target.of(url), PICTURES, np.zeros(100), connections=4)
    assert 0.25 <= load.seconds < 2
    assert load.client_s > 0


def test_an_interrupt_ends_it() -> None:
    """Control-C while a minute of requests is being sent: nothing more is sent, and no thread is left."""
    before = set(threading.enumerate())
    sent: list[int] = []
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background of a shell ignore it
    with service(sent.append) as url:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            offer(Target.of(url), PICTURES, 60 * A_SECOND)
        assert time.monotonic() - begun < 10
        sent_by_then = len(sent)
        time.sleep(0.5)
        assert len(sent) == sent_by_then
    assert sent
    senders = {each for each in threading.enumerate() if each.name.startswith("ThreadPoolExecutor")}
    assert senders <= before


def test_only_a_prediction_is_an_answer() -> None:
    """A page, an error and silence are not; a prediction is."""
    with service() as url:
        ask(Target.of(url), b"picture")
    with service(body=b"<html>") as url, pytest.raises(NoPrediction):
        ask(Target.of(url), b"picture")
    overloaded = pytest.raises(NoPrediction, match="HTTP 503: overloaded")
    with service(status=lambda number: 503, body=b"overloaded") as url, overloaded:
        ask(Target.of(url), b"picture")
    with pytest.raises(NoPrediction, match="refused"):
        ask(Target.of(f"http://127.0.0.1:{free_port()}/"), b"picture")


def test_what_is_no_address_is_said() -> None:
    """A URL without a scheme or a host is a mistake; https and a port of its own are not."""
    assert Target.of("https://shop.example/seldon/x") == Target("shop.example", None, "/seldon/x", tls=True)
    for wrong in ("shop.example/x", "ftp://shop.example", "http://"):
        with pytest.raises(ValueError, match="is no URL"):
            Target.of(wrong)
