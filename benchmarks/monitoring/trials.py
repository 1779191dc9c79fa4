"""The same trial many times, by a process a core."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

from threadpoolctl import threadpool_limits

Outcome = TypeVar("Outcome")
AT_A_TIME = 5


def outcomes(trial: Callable[[int], Outcome], trials: int) -> list[Outcome]:
    """What each trial comes to, by its number, which is its seed.

    A process has one thread: cores that are shared by the threads of every process take many times as long.
    """
    with ProcessPoolExecutor(
        os.cpu_count(), mp_context=get_context("fork"), initializer=threadpool_limits, initargs=(1,)
    ) as processes:
        return list(processes.map(trial, range(trials), chunksize=AT_A_TIME))
