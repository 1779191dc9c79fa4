"""A service under load: at the product's rate, at twice what it can carry, and for long.

Requests come at moments that do not depend on the answers; see ``steps/evaluation/cost/load.py``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.claim import Claim, at_least, at_most, guarded
from benchmarks.serving.exporting import encoded
from benchmarks.serving.live import Live, live
from benchmarks.serving.memory import Sampled
from serving.launching import DEFAULT_QUEUE
from steps.evaluation.cost.load import Load, Target, moments, offer

PICTURES = 200
RATE_PER_S = 100.0
P99_LIMIT_MS, MEMORY_LIMIT_MB = 500.0, 2048.0
PRODUCT_S, QUICK_PRODUCT_S = 300.0, 10.0
OVERLOAD, OVERLOAD_S, QUICK_OVERLOAD_S = 2.0, 60.0, 8.0
SETTLING_SHARE = 0.5
"""Of that time is overload before: what many connections and large parts of captures take is taken then."""
SOAK_SHARE, SOAK_S, QUICK_SOAK_S = 0.8, 1200.0, 30.0
SETTLED_S, QUICK_SETTLED_S = 60.0, 8.0
"""After which memory is not to grow any more."""
GROWTH = 1.05
UNCHANGED_S, QUIET_WITHIN_S = 10.0, 120.0
"""Connections that nobody uses are closed after a while."""
UNLOADED, CLOSED = 200, 400
"""Requests one after the other; and as fast as a few connections get answers, by which a rate is known."""
SUSTAINED_S, QUICK_SUSTAINED_S = 60.0, 2.0
"""For so long it carries what its capacity is said to be, with all that is captured and stored meanwhile."""
CLOSED_CONNECTIONS = 8
MANY_CONNECTIONS = 256
"""More than the queue: a request that is to be refused has to be sent."""
TOO_MANY = "HTTP 429 Too Many Requests"
SMALL, SMALL_SIDE = "small_cnn", 28


def measure(folder: Path, *, quick: bool) -> list[Claim]:
    """The claims about load; quick: for seconds."""
    name, pictures = encoded(PICTURES)
    product_s, overload_s = (QUICK_PRODUCT_S, QUICK_OVERLOAD_S) if quick else (PRODUCT_S, OVERLOAD_S)
    with live(folder, SMALL, SMALL_SIDE) as served:
        return [
            *guarded("the product's rate", partial(_at_the_products_rate, served, pictures, name, product_s)),
            *guarded("overload", partial(_overloaded, served, pictures, overload_s)),
            *guarded("soak", partial(_soaked, served, pictures, quick=quick)),
        ]


def _at_the_products_rate(served: Live, pictures: Sequence[bytes], name: str, seconds: float) -> list[Claim]:
    _warm_up(served, pictures)
    memory = Sampled(served.processes)
    with memory.running():
        load = _offered(served, pictures, RATE_PER_S, seconds)
    what = f"{RATE_PER_S:g} requests a second for {seconds:g} s, {SMALL}, {os.cpu_count()} cores, {name}"
    return [
        at_most(f"{what}: p99", _p99(load), P99_LIMIT_MS, "ms"),
        at_most(f"{what}: failed of {len(load.latencies_ms):,}", load.failed, 0, "requests"),
        at_most(f"{what}: memory of all processes", memory.peak_mb, MEMORY_LIMIT_MB, "MB"),
    ]


def _soaked(served: Live, pictures: Sequence[bytes], *, quick: bool) -> list[Claim]:
    """At 80 % of what it can carry: memory, handles and children at the end as after the first minute."""
    settled_s = QUICK_SETTLED_S if quick else SETTLED_S
    seconds = QUICK_SOAK_S if quick else SOAK_S
    rate = SOAK_SHARE * _sustained(served, pictures, QUICK_SUSTAINED_S if quick else SUSTAINED_S)
    _offered(served, pictures, rate, settled_s)
    handles = _quiet_handles(served)
    memory, children = served.memory_mb(), len(served.processes())
    load = _offered(served, pictures, rate, seconds - settled_s)
    what = f"soak of {seconds:g} s at {rate:.0f} requests a second, {SOAK_SHARE:.0%} of capacity"
    return [
        at_most(
            f"{what}: memory beside that after {settled_s:g} s", served.memory_mb() / memory, GROWTH, "×"
        ),
        at_most(f"{what}: failed of {len(load.latencies_ms):,}", load.failed, 0, "requests"),
        at_most(
            f"{what}: file handles left, of {handles} at the start",
            max(0, _quiet_handles(served) - handles),
            0,
            "handles",
        ),
        at_most(f"{what}: children left", len(served.processes()) - children, 0, "processes"),
    ]


def _quiet_handles(served: Live) -> int:
    """Open handles once nobody asks any more and they have stayed as many for a while."""
    count, since = served.handles(), time.monotonic()
    began = since
    while time.monotonic() - since < UNCHANGED_S and time.monotonic() - began < QUIET_WITHIN_S:
        time.sleep(1.0)
        if (now := served.handles()) != count:
            count, since = now, time.monotonic()
    return count


def _overloaded(served: Live, pictures: Sequence[bytes], seconds: float) -> list[Claim]:
    """Twice what it can carry, the server on one core and the generator on the other."""
    own = sorted(os.sched_getaffinity(0))
    served.pin(own[:1])
    os.sched_setaffinity(0, own[1:] or own)
    try:
        unloaded_ms = _p99(_one_after_the_other(served, pictures))
        capacity = _capacity(served, pictures)
        children = len(served.processes())
        _too_much(served, pictures, capacity, seconds * SETTLING_SHARE)
        memory = served.memory_mb()
        load = _too_much(served, pictures, capacity, seconds)
        grown = served.memory_mb() / memory
    finally:
        os.sched_setaffinity(0, own)
        served.pin(own)
    accepted = load.latencies_ms[np.isfinite(load.latencies_ms)]
    limit_ms = DEFAULT_QUEUE * 1000 / capacity + unloaded_ms
    what = f"{OVERLOAD:g} × what a core carries ({capacity:.0f} a second) for {seconds:g} s, {SMALL}"
    return [
        at_least(f"{what}: answered 429 of {len(load.latencies_ms):,}", load.failed, 1, "requests"),
        at_most(f"{what}: other failures", len(set(load.failures) - {TOO_MANY}), 0, "kinds"),
        at_most(f"{what}: p99 of the accepted", float(np.percentile(accepted, 99)), limit_ms, "ms"),
        at_most(f"{what}: memory beside before it, overloaded already", grown, GROWTH, "×"),
        at_most(f"{what}: processes gone", max(0, children - len(served.processes())), 0, "processes"),
    ]


def _too_much(served: Live, pictures: Sequence[bytes], capacity: float, seconds: float) -> Load:
    rate = OVERLOAD * capacity
    asked = moments(rate, int(rate * seconds), seed=1)
    load = offer(Target.of(served.url), pictures, asked, connections=MANY_CONNECTIONS)
    _one_after_the_other(served, pictures)
    return load


def _warm_up(served: Live, pictures: Sequence[bytes]) -> None:
    offer(Target.of(served.url), pictures, np.zeros(UNLOADED), connections=CLOSED_CONNECTIONS)


def _offered(served: Live, pictures: Sequence[bytes], rate_per_s: float, seconds: float) -> Load:
    return offer(Target.of(served.url), pictures, moments(rate_per_s, int(rate_per_s * seconds), seed=0))


def _one_after_the_other(served: Live, pictures: Sequence[bytes]) -> Load:
    return offer(Target.of(served.url), pictures, np.zeros(UNLOADED), connections=1)


def _sustained(served: Live, pictures: Sequence[bytes], seconds: float) -> float:
    """Requests that it answers in a second for a while, captures shipped."""
    count = int(_capacity(served, pictures) * seconds)
    load = offer(Target.of(served.url), pictures, np.zeros(count), connections=CLOSED_CONNECTIONS)
    return float(np.isfinite(load.latencies_ms).sum() / load.seconds)


def _capacity(served: Live, pictures: Sequence[bytes]) -> float:
    """Requests that it answers in a second."""
    load = offer(Target.of(served.url), pictures, np.zeros(CLOSED), connections=CLOSED_CONNECTIONS)
    return float(np.isfinite(load.latencies_ms).sum() / load.seconds)


def _p99(load: Load) -> float:
    return float(np.percentile(load.latencies_ms, 99, method="higher"))
