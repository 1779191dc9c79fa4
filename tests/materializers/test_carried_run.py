"""Whether the process that carries a run is gone. How a run ends is tested with those who end it."""

from __future__ import annotations

import subprocess
import sys

import psutil

from materializers.carried_run import is_dead, this_process


def test_this_process_is_alive() -> None:
    """A process that runs is never taken for dead."""
    assert not is_dead(this_process())


def test_a_process_id_used_again_is_dead() -> None:
    """The same process id with another start time is another process."""
    assert is_dead(this_process() | {"started": psutil.Process().create_time() - 100})


def test_a_process_that_ended_is_dead() -> None:
    """A process id that nothing has is dead."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    record = this_process() | {"pid": child.pid}
    child.wait()
    assert is_dead(record)


def test_a_process_on_another_host_is_never_judged() -> None:
    """What cannot be seen from here is left alone."""
    assert not is_dead({"host": "elsewhere", "pid": 1, "started": 0.0})
