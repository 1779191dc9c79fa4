"""Find the highest rate that a replica sustains: the 99th percentile stays within its limit, the queue too.

How many requests it answers when one follows the other bounds the rate from above. Below, rates are offered
in open loop, for about a second each: nine tenths of the bound first, less after each that did not hold, then
halfway between the highest that held and the lowest that did not.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from materializers.evaluation.cost import Probe
from steps.evaluation.cost.load import Load
from steps.evaluation.cost.percentiles import percentile, rank

NEAR_ENOUGH = 1.05
"""As the ratio of the lowest rate that did not hold to the highest that did."""
FIRST_STEP = 0.1
LARGEST_STEP = 0.6
FEWEST_TRIED, MOST_FAILING = 3, 6
"""Rates, none of which held: down to four tenths of the bound whatever the time, and to a fortieth."""
GROWTH = 0.05
"""Of latencies, seconds a second: as fast a queue grows with 5 % more than a replica can answer."""
QUARTERS = 4


def most_slow(n: int) -> int:
    """How many of n latencies may exceed what the 99th percentile must not."""
    return n - rank(n, 0.99)


def judge(load: Load, rate_per_s: float, n: int, limit_ms: float) -> Probe:
    """Whether a rate was sustained.

    A queue that grows takes time to reach the limit, and a probe is short: that latencies grow is enough.

    Args:
        load: what came of it.
        rate_per_s: the rate.
        n: how many requests were to be sent.
        limit_ms: the 99th percentile must not exceed it.
    """
    p50, p99 = (percentile(load.latencies_ms, share).value for share in (0.5, 0.99))
    reason = None
    if load.failed:
        reason = f"{load.failed} of {len(load.latencies_ms)} requests failed: {load.failures[0]}"
    elif (load.latencies_ms > limit_ms).sum() > most_slow(n):
        reason = f"more than one in a hundred requests took longer than {limit_ms:g} ms"
    elif (growth := _growth(load, n / rate_per_s)) > GROWTH:
        reason = f"requests waited {growth * 1000:.0f} ms longer with each second: the queue grew"
    return Probe(
        rate_per_s=rate_per_s,
        n=len(load.latencies_ms),
        p50_ms=p50,
        p99_ms=p99,
        held=reason is None,
        reason=reason,
    )


def _growth(load: Load, seconds: float) -> float:
    """By how many seconds latencies grew a second: medians of the last quarter and of the first."""
    latencies = load.latencies_ms / 1000
    quarter = max(1, len(latencies) // QUARTERS)
    grew = float(np.median(latencies[-quarter:]) - np.median(latencies[:quarter]))
    return grew / (seconds * (1 - 1 / QUARTERS))


def search(
    probe: Callable[[float], Probe],
    bound_per_s: float,
    seconds: float,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Probe, ...]:
    """Try rates until the highest that holds is known well enough, or the time is over.

    Args:
        probe: offers a rate, requests a second.
        bound_per_s: no rate above it is tried.
        seconds: when they are over no further rate is tried, once one has held or three have not.
        clock: seconds.

    Returns:
        What was tried, in that order; every rate that held is below every one that did not.
    """
    until = clock() + seconds
    tried: list[Probe] = []
    low, high, step = 0.0, bound_per_s, FIRST_STEP
    while high > low * NEAR_ENOUGH and (low or len(tried) < MOST_FAILING):
        if clock() > until and (low or len(tried) >= FEWEST_TRIED):
            break
        rate = (low + high) / 2 if low else high * (1 - step)
        tried.append(probe(rate))
        if tried[-1].held:
            low = rate
        else:
            high = rate
            step = min(LARGEST_STEP, 2 * step)
    return tuple(tried)
