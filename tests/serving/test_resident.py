"""What a service says of its memory is what the system says of its two processes."""

import subprocess
import sys

import numpy as np
import psutil
import pytest

from serving.resident import resident_bytes
from tests.serving.conftest import ROOT

SAYS = """
import os, psutil
from serving.resident import resident_bytes
print(resident_bytes(), psutil.Process(os.getpid()).memory_info().rss)
"""


def test_it_is_the_memory_of_the_worker_and_of_who_started_it() -> None:
    """As ``ps`` shows it, in bytes: here of a small process, and of this one, which holds 200 MB more."""
    held = np.ones(25_000_000)
    done = subprocess.run([sys.executable, "-c", SAYS], cwd=ROOT, capture_output=True, text=True, check=True)
    both, own = map(int, done.stdout.split())
    assert both - own == pytest.approx(psutil.Process().memory_info().rss, rel=0.05)
    assert both - own > held.nbytes


def test_what_is_taken_is_counted() -> None:
    """200 MB more are 200 MB more."""
    before = resident_bytes()
    held = np.ones(25_000_000)
    assert resident_bytes() - before == pytest.approx(held.nbytes, rel=0.1)
