"""The search ends near the highest rate that holds, whatever the replica is like, and in bounded time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count

import numpy as np
import pytest
from numpy.typing import NDArray

from materializers.evaluation.cost import Probe
from steps.evaluation.cost.load import Load
from steps.evaluation.cost.search import MOST_FAILING, judge, most_slow, search

LONG = 1e9


def holds_up_to(capacity: float) -> tuple[list[float], Callable[[float], Probe]]:
    """The rates that are asked for, and a replica that sustains everything up to its capacity."""
    asked: list[float] = []

    def probe(rate: float) -> Probe:
        asked.append(rate)
        return Probe(rate_per_s=rate, n=400, p50_ms=1, p99_ms=2, held=rate <= capacity)

    return asked, probe


def load(latencies_ms: NDArray[np.float64]) -> Load:
    """What came of requests with these latencies."""
    failures = ("HTTP 500",) if np.isinf(latencies_ms).any() else ()
    return Load(latencies_ms, 1.0, failures, np.zeros(1), 0.1)


@pytest.mark.parametrize("capacity", [10.0, 98.0, 90.0, 55.0, 23.0])
def test_it_comes_near_the_highest_rate_that_holds(capacity: float) -> None:
    """Within five hundredths, never above, and never above the bound."""
    asked, probe = holds_up_to(capacity)
    tried = search(probe, 100.0, LONG)
    best = max(each.rate_per_s for each in tried if each.held)
    assert capacity / 1.05 <= best <= capacity
    assert max(asked) < 100
    assert len(tried) <= 12


def test_every_rate_that_held_is_below_every_one_that_did_not() -> None:
    """A replica that holds a rate by luck is not asked for more than it has failed at."""
    outcomes = iter([False, True, False, True, True, False, True])
    tried = search(
        lambda rate: Probe(rate_per_s=rate, n=400, p50_ms=1, p99_ms=2, held=next(outcomes, False)),
        100.0,
        LONG,
    )
    held = [each.rate_per_s for each in tried if each.held]
    assert max(held) < min(each.rate_per_s for each in tried if not each.held)


@pytest.mark.parametrize(("capacity", "tried_rates", "found"), [(95, 1, True), (50, 3, True), (20, 3, False)])
def test_the_time_ends_the_search(capacity: float, tried_rates: int, found: bool) -> None:
    """Without any a rate that held is enough, and three that did not are."""
    _, probe = holds_up_to(capacity)
    tried = search(probe, 100.0, 0.0, clock=partial(next, count(0.0, 10.0)))
    assert len(tried) == tried_rates
    assert tried[-1].held is found


def test_a_replica_that_holds_nothing_is_given_up() -> None:
    """After six rates, the last of which is a small part of the bound."""
    asked, probe = holds_up_to(0.0)
    tried = search(probe, 100.0, LONG)
    assert not any(each.held for each in tried)
    assert len(tried) == MOST_FAILING
    assert asked[-1] < 3


def test_four_of_four_hundred_may_be_slow() -> None:
    """The fifth is the 99th percentile."""
    assert most_slow(400) == 4
    latencies = np.full(400, 5.0)
    latencies[100:104] = 900.0
    kept = judge(load(latencies), 100.0, 400, 500.0)
    assert (kept.held, kept.p99_ms, kept.reason) == (True, 5.0, None)
    latencies[104] = 900.0
    broken = judge(load(latencies), 100.0, 400, 500.0)
    assert (broken.held, broken.p99_ms) == (False, 900.0)
    assert "500 ms" in (broken.reason or "")


def test_one_failure_is_not_sustained() -> None:
    """However fast the others were."""
    latencies = np.full(400, 5.0)
    latencies[7] = np.inf
    probe = judge(load(latencies), 100.0, 400, 500.0)
    assert not probe.held
    assert "1 of 400 requests failed: HTTP 500" in (probe.reason or "")


@pytest.mark.parametrize(("surplus", "held"), [(0.2, False), (0.1, False), (0.0, True)])
def test_a_queue_that_grows_is_seen_before_it_reaches_the_limit(surplus: float, held: bool) -> None:
    """A tenth more than a replica answers, for a second: at its end requests wait 100 ms, not yet 500."""
    waited = np.linspace(0, surplus * 1000, 400)
    noise = np.random.default_rng(0).exponential(5.0, 400)
    probe = judge(load(5 + waited + noise), 400.0, 400, 500.0)
    assert probe.held is held
    assert held or "the queue grew" in (probe.reason or "")
