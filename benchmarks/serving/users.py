"""Users of a service: they ask at a steady rate, whatever becomes of it, and may say what was right.

What they were answered is kept, so that one can tell which version answered whom.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from benchmarks.serving.planted import USER
from serving.launching import PREDICTIONS

FEEDBACK = "/api/v1.0/feedback"
CONNECTIONS = 16
TIMEOUT_S = 30.0
NO_ANSWER = "no answer"

Truth = Callable[[str, str], str]
"""Of a version and its label: what the user says was right."""


@dataclass(frozen=True)
class Answered:
    """What became of one request.

    Args:
        key: of the user who asked; empty: nobody in particular.
        status: of HTTP; 0: there was no answer.
        version: that answered; empty: none did.
        latency_ms: from the moment at which the request was due.
    """

    key: str
    status: int
    version: str
    latency_ms: float


class Users:
    """They send pictures, in turn, to a URL of predictions.

    Args:
        url: where to.
        pictures: encoded.
        rate_per_s: requests a second; 0: as fast as a few connections get answers.
        keys: whose requests they are, in turn; none: nobody's in particular.
        truth: what is posted as the right label of each answer; None: nothing is.
        most: requests in all; None: until they are stopped.
    """

    def __init__(
        self,
        url: str,
        pictures: Sequence[bytes],
        rate_per_s: float,
        *,
        keys: Sequence[str] = ("",),
        truth: Truth | None = None,
        most: int | None = None,
    ) -> None:
        self.answers: list[Answered] = []
        self.not_taken: Counter[int] = Counter()
        """Of the feedback: how often which status came back instead of a 200."""
        self._parts, self._pictures, self._rate = urlsplit(url), pictures, rate_per_s
        self._keys, self._truth, self._most = keys, truth, most
        self._numbers = itertools.count()
        self._over = threading.Event()

    @property
    def failed(self) -> int:
        """Requests that were not answered 200."""
        return sum(answer.status != http.client.OK for answer in list(self.answers))

    def versions(self) -> Counter[str]:
        """How many requests each version answered."""
        return Counter(answer.version for answer in list(self.answers) if answer.version)

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Ask until the block is left."""
        with self._connected():
            try:
                yield
            finally:
                self._over.set()

    def ask_all(self) -> None:
        """Ask as often as was said."""
        with self._connected():
            pass

    @contextlib.contextmanager
    def _connected(self) -> Iterator[None]:
        """Have the connections ask; leaving the block waits until they are done."""
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            begun = time.monotonic()
            running = [pool.submit(self._ask, begun) for _ in range(CONNECTIONS)]
            yield
            for each in running:
                each.result()

    def _ask(self, begun: float) -> None:
        connection = http.client.HTTPConnection(
            self._parts.hostname or "", self._parts.port, timeout=TIMEOUT_S
        )
        try:
            for number in self._numbers:
                due = begun + number / self._rate if self._rate else time.monotonic()
                if (self._most is not None and number >= self._most) or self._over.wait(
                    max(0.0, due - time.monotonic())
                ):
                    return
                self._one(connection, number, due)
        finally:
            connection.close()

    def _one(self, connection: http.client.HTTPConnection, number: int, due: float) -> None:
        key, request_id = self._keys[number % len(self._keys)], f"{USER}{number}-{id(self)}"
        headers = {"content-type": "application/octet-stream", "x-request-id": request_id}
        if key:
            headers["x-request-key"] = key
        picture = self._pictures[number % len(self._pictures)]
        status, said = _post(connection, self._parts.path, picture, headers)
        latency_ms = 1000 * (time.monotonic() - due)
        content = said.get("jsonData", {})
        version = str(content.get("model_version", ""))
        self.answers.append(Answered(key, status, version, latency_ms))
        if self._truth is not None and version:
            right = self._truth(version, content["predictions"][0]["label"])
            message = {"response": {"meta": {"puid": request_id}}, "truth": {"strData": right}}
            path = self._parts.path.removesuffix(PREDICTIONS) + FEEDBACK
            body, kind = json.dumps(message).encode(), {"content-type": "application/json"}
            status, _ = _post(connection, path, body, kind)
            if status != http.client.OK:
                self.not_taken[status] += 1


def _post(
    connection: http.client.HTTPConnection, path: str, body: bytes, headers: dict[str, str]
) -> tuple[int, dict[str, Any]]:
    """Status and answer; 0 and nothing where there is none."""
    try:
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        said = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError):
        connection.close()
        return 0, {}
    return response.status, said if isinstance(said, dict) else {}
