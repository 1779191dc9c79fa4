"""Offer a service requests at moments that do not depend on its answers, and time them.

A generator that sends the next request when the last one is answered leaves out, while a service stalls,
just those requests that would have waited (coordinated omission; Gil Tene, "How NOT to Measure Latency",
2013). So moments are drawn beforehand, and a latency is counted from the moment at which a request was to be
sent, be it sent later because every connection was waiting for an answer.

Plain HTTP over connections that stay open, a thread each: on the cores that a replica shares with this
process, asyncio and httpx would cost several times as much for one request.
"""

from __future__ import annotations

import gc
import http.client
import itertools
import json
import math
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from serving.launching import PREDICTIONS, READINESS
from serving.synthetic import SYNTHETIC

Array = NDArray[np.float64]
CONNECTIONS = 32
"""At a time. A request that finds all of them waiting waits here instead of in the service's own queue."""
TIMEOUT_S = 10.0
"""Without an answer for so long a request has failed."""
HEADERS = {"content-type": "application/octet-stream"}
NO_ANSWER = (OSError, http.client.HTTPException)
POLL_S = 0.5
"""Between two chances of an interrupt: a signal that comes just before a wait without end would be missed."""
FAILURES_ONLY = sys.float_info.max
"""As the time beyond which a request is slow, milliseconds: only one that failed is."""


class NoPrediction(Exception):
    """A service did not answer a picture with a prediction."""


@dataclass(frozen=True)
class Target:
    """Where predictions are asked for, and how.

    Args:
        host: of the service.
        port: None: the scheme's own.
        path: of its predictions.
        tls: whether it is https.
        authorization: what the header of this name says; None: there is none.
        synthetic: whether the service is told that no user made these requests, so that it captures none.
    """

    host: str
    port: int | None
    path: str
    tls: bool = False
    authorization: str | None = field(default=None, repr=False)
    synthetic: bool = False

    @classmethod
    def of(cls, url: str, authorization: str | None = None, *, synthetic: bool = False) -> Target:
        """The target of a URL.

        Raises:
            ValueError: it is no http or https URL.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no URL of a service")
        tls = parts.scheme == "https"
        return cls(parts.hostname, parts.port, parts.path or "/", tls, authorization, synthetic)

    @property
    def headers(self) -> dict[str, str]:
        """Of a request with a picture."""
        own = SYNTHETIC if self.synthetic else {}
        return {**HEADERS, **own, **({"authorization": self.authorization} if self.authorization else {})}

    def connection(self) -> http.client.HTTPConnection:
        """A connection that opens with its first request, and again after one that broke."""
        kind = http.client.HTTPSConnection if self.tls else http.client.HTTPConnection
        return kind(self.host, self.port, timeout=TIMEOUT_S)


@dataclass(frozen=True)
class Load:
    """What came of n requests.

    Args:
        latencies_ms: ``(m,)`` of those that were sent, m ≤ n, in the order of their moments; infinite for one
            that failed.
        seconds: from the first moment to the last answer.
        failures: why requests failed, each reason once.
        late_ms: ``(l,)``, how late threads woke that waited for their moment.
        client_s: CPU seconds of this process.
    """

    latencies_ms: Array
    seconds: float
    failures: tuple[str, ...]
    late_ms: Array
    client_s: float

    @property
    def failed(self) -> int:
        """How many failed."""
        return int(np.isinf(self.latencies_ms).sum())


def moments(rate_per_s: float, n: int, seed: int) -> Array:
    """When to send n requests, as independent customers do: a Poisson process of exactly this rate.

    Given how many there are, the moments of a Poisson process are uniform draws in order.

    Returns:
        ``(n,)`` seconds, ascending, from 0 to n / rate.
    """
    return np.sort(np.random.default_rng(seed).uniform(0, n / rate_per_s, n))


def ask(target: Target, picture: bytes) -> None:
    """Have one picture classified.

    Raises:
        NoPrediction: there is no answer, or it is no prediction.
    """
    connection = target.connection()
    try:
        connection.request("POST", target.path, picture, target.headers)
        response = connection.getresponse()
        body = response.read()
        if response.status != http.client.OK:
            raise NoPrediction(f"HTTP {response.status}: {body[:200].decode(errors='replace').strip()}")
        json.loads(body)["jsonData"]["predictions"][0]["label"]
    except (*NO_ANSWER, ValueError, LookupError, TypeError) as error:
        raise NoPrediction(repr(error)) from error
    finally:
        connection.close()


def resident_bytes(target: Target) -> int | None:
    """What a service says that it has resident; None where it does not answer, or does not say."""
    connection = target.connection()
    try:
        connection.request("GET", target.path.removesuffix(PREDICTIONS) + READINESS)
        said: Any = json.loads(connection.getresponse().read())["jsonData"]["resident_bytes"]
    except (*NO_ANSWER, ValueError, LookupError, TypeError):
        return None
    finally:
        connection.close()
    return said if isinstance(said, int) and said > 0 else None


def offer(
    target: Target,
    pictures: Sequence[bytes],
    at: Array,
    *,
    connections: int = CONNECTIONS,
    slow_ms: float = FAILURES_ONLY,
    most_slow: int | None = None,
    drain_s: float = TIMEOUT_S,
) -> Load:
    """Send a request at each moment, and wait for the answers.

    With moments that are all 0 every connection sends the next request as soon as the last one is answered.

    Args:
        target: where to.
        pictures: encoded pictures, in turn.
        at: ``(n,)`` seconds from now, ascending.
        connections: how many requests wait for an answer at a time.
        slow_ms: a request that takes longer is slow.
        most_slow: with more slow ones than that nothing more is sent; None: everything is.
        drain_s: what is not sent so long after the last moment has failed.
    """
    connections = min(connections, len(at))
    with _uncollected(), ThreadPoolExecutor(connections) as pool:
        cpu, begun = time.process_time(), time.perf_counter()
        sender = _Sender(target, pictures, begun + at, begun + float(at[-1]) + drain_s, slow_ms, most_slow)
        try:
            for running in [pool.submit(sender.run) for _ in range(connections)]:
                while not running.done():
                    wait([running], POLL_S)
                running.result()
        finally:
            sender.over.set()
        seconds, client_s = time.perf_counter() - begun, time.process_time() - cpu
    return Load(
        latencies_ms=np.array([taken for _, taken in sorted(sender.latencies)]),
        seconds=seconds,
        failures=tuple(sorted(sender.failures)),
        late_ms=np.array(sender.late_ms),
        client_s=client_s,
    )


@dataclass
class _Sender:
    """What the threads of one load share; that they add to lists and take numbers is atomic."""

    target: Target
    pictures: Sequence[bytes]
    moments: Array
    last: float
    slow_ms: float
    most_slow: int | None
    numbers: Iterator[int] = field(default_factory=itertools.count)
    slow: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    latencies: list[tuple[int, float]] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    failures: set[str] = field(default_factory=set)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Take the next moment, wait for it, send, until there is none."""
        connection = self.target.connection()
        try:
            for number in self.numbers:
                if number >= len(self.moments):
                    return
                moment = float(self.moments[number])
                self._wait(moment)
                if self.over.is_set():
                    return
                answered = self._send(connection, self.pictures[number % len(self.pictures)])
                taken = (time.perf_counter() - moment) * 1000 if answered else math.inf
                self.latencies.append((number, taken))
                self._judge(taken)
        finally:
            connection.close()

    def _wait(self, moment: float) -> None:
        early = moment - time.perf_counter()
        if early > 0 and not self.over.wait(early):
            self.late_ms.append((time.perf_counter() - moment) * 1000)

    def _send(self, connection: http.client.HTTPConnection, picture: bytes) -> bool:
        """Whether the request was answered; why not is kept."""
        if time.perf_counter() > self.last:
            self.failures.add("every connection was waiting for an answer until long after the last moment")
            return False
        try:
            connection.request("POST", self.target.path, picture, self.target.headers)
            response = connection.getresponse()
            response.read()
        except NO_ANSWER as error:
            connection.close()
            self.failures.add(str(error) or type(error).__name__)
            return False
        if response.status != http.client.OK:
            self.failures.add(f"HTTP {response.status} {response.reason}")
        return response.status == http.client.OK

    def _judge(self, taken: float) -> None:
        if taken > self.slow_ms and self.most_slow is not None and next(self.slow) > self.most_slow:
            self.over.set()


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep what this process holds out of its garbage collections: one of everything takes 100 ms."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
