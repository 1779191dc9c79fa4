"""Requests as nobody should send them, thousands of them, to one service."""

from __future__ import annotations

import http.client
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from hypothesis import HealthCheck, Phase, given, settings

from benchmarks.claim import Claim, at_most
from benchmarks.serving.exporting import exported
from benchmarks.serving.memory import memory_mb
from serving.model_directory import model_digest
from steps.evaluation.cost.replica import replica, serving_python
from tests.serving.fuzzing import RAW, Sent, fault, requests
from tests.serving.pictures import encode, gradient

REQUESTS, QUICK = 20_000, 300
SETTLED = 0.25
"""After this share of the requests memory is not to grow any more."""
GROWTH = 1.05
ARCHITECTURE, SIDE = "small_cnn", 28
TIMEOUT_S, STARTS_WITHIN_S = 30.0, 120.0
SHOWN = 3


def measure(folder: Path, *, quick: bool) -> list[Claim]:
    """The claims about bad input; quick: some hundred requests."""
    count = QUICK if quick else REQUESTS
    directory = exported(ARCHITECTURE, folder / "exported", SIDE)
    with replica(
        directory, model_digest(directory), python=serving_python(None), timeout_s=STARTS_WITHIN_S
    ) as served:
        faults, memory, sent = _sent(served.url, served.processes, count)
        dead = sum(not process.is_running() for process in served.processes)
        answered = _post(served.url, Sent(encode(gradient(28, 28)), {"content-type": RAW}))
    dead += answered[0] != http.client.OK
    settled = memory[int(SETTLED * len(memory))]
    what = f"{sent:,} fuzzed requests"
    shown = f" ({'; '.join(faults[:SHOWN])})" if faults else ""
    return [
        at_most(
            f"{what}: answers that are a 500, show a trace or have another shape{shown}",
            len(faults),
            0,
            "answers",
        ),
        at_most(f"{what}: processes gone, or a good picture refused after", dead, 0, ""),
        at_most(
            f"{what}: memory beside that after {SETTLED:.0%} of them, {settled:.0f} MB",
            memory[-1] / settled,
            GROWTH,
            "×",
        ),
    ]


def _sent(url: str, processes: tuple[psutil.Process, ...], count: int) -> tuple[list[str], list[float], int]:
    """What was wrong with answers, the memory now and then, and how many requests were sent."""
    faults: list[str] = []
    memory: list[float] = []
    sent = 0

    @settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(requests())
    def send(one: Sent) -> None:
        nonlocal sent
        found = fault(*_post(url, one))
        if found is not None:
            faults.append(found)
        sent += 1
        if sent % max(1, count // 100) == 0:
            memory.append(memory_mb(processes))

    send()
    return faults, memory, sent


def _post(url: str, one: Sent) -> tuple[int, bytes]:
    """Status and body of the answer; 0 and what went wrong where there is none."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        headers = {name: value.encode("latin-1") for name, value in one.headers.items()}
        connection.request("POST", parts.path, one.body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        return 0, repr(error).encode()
    finally:
        connection.close()
