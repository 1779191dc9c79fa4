"""The served model is replaced under 20 requests a second: how many fail."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx

from benchmarks.claim import Claim, at_most
from benchmarks.main.home import DELIVERY, Home
from benchmarks.warm import PROJECT

RATE = 20  # requests a second
TIMEOUT_S = 5.0
PICTURE = PROJECT / "data" / "photos" / "bag.png"


class Load:
    """Requests at a fixed rate, each started on time whatever became of the ones before."""

    def __init__(self, url: str) -> None:
        self.answers: Counter[str] = Counter()
        self._url, self._picture = url, PICTURE.read_bytes()
        self._stop = threading.Event()
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it says every request
        self._client = httpx.Client(timeout=TIMEOUT_S, trust_env=False)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Send until the block ends, and wait for the last answer."""
        with self._client, ThreadPoolExecutor(RATE) as senders:
            clock = threading.Thread(target=self._send, args=(senders,))
            clock.start()
            try:
                yield
            finally:
                self._stop.set()
                clock.join()

    def _send(self, senders: ThreadPoolExecutor) -> None:
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            senders.submit(self._ask)
            due += 1 / RATE

    def _ask(self) -> None:
        headers = {"content-type": "application/octet-stream"}
        try:
            answer = self._client.post(self._url, content=self._picture, headers=headers)
            version = str(answer.json()["jsonData"]["model_version"]) if answer.is_success else "failed"
        except (httpx.HTTPError, ValueError, LookupError, TypeError):
            version = "failed"
        self.answers[version] += 1


def measure(folder: Path, *, quick: bool) -> list[Claim]:
    """Replace version 1 by 2 and back under load; both must have answered."""
    replacements = 2 if quick else 10
    with Home(folder) as home:
        for seed in ("1", "2"):
            trained = home.run("--source", str(DELIVERY), "--train", "--set", f"train.seed={seed}")
            if trained.exit_code != 0:
                raise RuntimeError(trained.log)
        url = home.run("--deploy", "--version", "1").results[0]["release"]["url"]
        load = Load(url)
        with load.running():
            for number in range(replacements):
                deployed = home.run("--deploy", "--version", str(2 - number % 2))
                if deployed.exit_code != 0:
                    raise RuntimeError(deployed.log)
            time.sleep(1.0)
    missing = {"1", "2"} - load.answers.keys()
    if missing:
        raise RuntimeError(f"Version {missing.pop()} never answered: {dict(load.answers)}")
    name = (
        f"failed of {load.answers.total()} requests, {RATE} a second, the served model replaced "
        f"{replacements} times"
    )
    return [at_most(name, load.answers["failed"], 0, "requests")]
