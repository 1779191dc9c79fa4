"""How quiet the machine is while times are taken: a fixed piece of work, the load, other processes."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence

import numpy as np
import psutil

from materializers.evaluation.cost import Noise
from steps.evaluation.cost.load import Load

REPETITIONS = 50
BLOCK = bytes(2_000_000)
"""Hashing it takes a millisecond or two, which depend on the core's speed and on what else runs there."""


class Watch:
    """Watches the machine from its making until :meth:`noise` is asked for."""

    def __init__(self, replica_s: Callable[[], float] | None) -> None:
        """Begin.

        Args:
            replica_s: CPU seconds, so far, of the processes that are measured; None: nobody knows which
                they are, or they run somewhere else.
        """
        self._replica_s = replica_s
        self._work_ms = calibrate()
        self._load = os.getloadavg()[0]
        self._at, self._busy_s, self._own_s = time.monotonic(), _busy_s(), self._used_s()

    def noise(self, loads: Sequence[Load]) -> Noise:
        """What was seen since.

        Args:
            loads: what was sent since, once at least.
        """
        cores = os.cpu_count() or 1
        there_was_s = cores * (time.monotonic() - self._at)
        others_s = (_busy_s() - self._busy_s) - (self._used_s() - self._own_s)
        load_after = os.getloadavg()[0]
        after_ms = calibrate()
        typical = float(np.median(self._work_ms))
        late_ms = np.concatenate([load.late_ms for load in loads])
        return Noise(
            cores=cores,
            calibration_ms=typical,
            spread=float(np.percentile([*self._work_ms, *after_ms], 95)) / typical - 1,
            drift=float(np.median(after_ms)) / typical - 1,
            load_before=self._load,
            load_after=load_after,
            others_busy=None if self._replica_s is None else min(1.0, max(0.0, others_s / there_was_s)),
            late_p99_ms=float(np.percentile(late_ms, 99)) if len(late_ms) else 0.0,
            client_ms=1000 * sum(load.client_s for load in loads) / sum(map(_sent, loads)),
        )

    def _used_s(self) -> float:
        """CPU seconds of this process and of the replica's, so far."""
        return time.process_time() + (self._replica_s() if self._replica_s else 0.0)


def calibrate() -> list[float]:
    """Milliseconds of each repetition of a fixed piece of work, in one thread."""
    taken = []
    for _ in range(REPETITIONS):
        begun = time.perf_counter()
        hashlib.sha256(BLOCK).digest()
        taken.append((time.perf_counter() - begun) * 1000)
    return taken


def _sent(load: Load) -> int:
    return len(load.latencies_ms)


def _busy_s() -> float:
    """CPU seconds of all processes of the machine, and of its host's others, since it started."""
    times = psutil.cpu_times()
    counted_twice = times.guest + times.guest_nice
    return float(sum(times) - times.idle - times.iowait - counted_twice)
