"""Memory of processes, sampled: what they share counts once, in parts (PSS)."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator

import psutil

MEGABYTE = 1e6
SAMPLED_S = 1.0


def memory_mb(processes: Iterable[psutil.Process]) -> float:
    """The proportional set size of these processes now, 10⁶ bytes, added up; one that is gone has none."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total / MEGABYTE


def tree(process: psutil.Process) -> list[psutil.Process]:
    """A process and all below it."""
    with contextlib.suppress(psutil.Error):
        return [process, *process.children(recursive=True)]
    return []


class Sampled:
    """Samples of some processes' memory.

    Args:
        processes: names them, at each sample.
    """

    def __init__(self, processes: Callable[[], Iterable[psutil.Process]]) -> None:
        self.samples_mb: list[float] = []
        self._processes = processes
        self._over = threading.Event()

    @property
    def peak_mb(self) -> float:
        """The largest sample."""
        return max(self.samples_mb)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Take a sample once a second until the block is left, and one in the end."""
        thread = threading.Thread(target=self._sample)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
            self._take()

    def _sample(self) -> None:
        while not self._over.wait(SAMPLED_S):
            self._take()

    def _take(self) -> None:
        if (now := memory_mb(self._processes())) > 0:
            self.samples_mb.append(now)
