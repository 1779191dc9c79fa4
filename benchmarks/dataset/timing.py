"""Times of several ways to the same end, round by round in turn, so that a busy moment meets all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

ROUNDS = 5


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU time of this process, all threads, in seconds."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def wall_seconds(work: Callable[[], object]) -> float:
    """Time by the clock, in seconds."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def medians(
    ways: Mapping[str, Callable[[], object]],
    *,
    rounds: int = ROUNDS,
    measure: Callable[[Callable[[], object]], float] = cpu_seconds,
) -> dict[str, float]:
    """The median of each way's times; the first round warms up and does not count."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, work in ways.items():
            taken[name].append(measure(work))
    return {name: median(times[1:]) for name, times in taken.items()}


def peak_memory_mb() -> float:
    """The most memory that this process had since it began its program, in MB (2**20 bytes).

    ``getrusage`` would count what the process had before that, as a copy of who started it.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(kilobytes) / 1024
