"""What a service says of its memory is what the system says of its two processes."""

import os

import numpy as np
import psutil
import pytest

from serving.resident import resident_bytes


def test_it_is_the_memory_of_the_worker_and_of_who_started_it() -> None:
    """As ``ps`` shows it, in bytes."""
    both = (psutil.Process(process) for process in (os.getpid(), os.getppid()))
    assert resident_bytes() == pytest.approx(sum(each.memory_info().rss for each in both), rel=0.02)


def test_what_is_taken_is_counted() -> None:
    """200 MB more are 200 MB more."""
    before = resident_bytes()
    held = np.ones(25_000_000)
    assert resident_bytes() - before == pytest.approx(held.nbytes, rel=0.1)
