"""Runs whose process is gone are closed, those that live are not; one run at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from materializers.errors import UsageError
from pipelines.session import is_dead, one_run_at_a_time, prepare, this_process

if TYPE_CHECKING:
    from zenml.client import Client

KILLED_RUN = Path(__file__).parent / "killed_run.py"


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


def test_an_unknown_stack_is_refused(zenml_client: Client) -> None:
    """``--stack`` with a name that is not there names those that are."""
    with pytest.raises(UsageError, match="default"):
        prepare("no-such-stack")


def test_a_killed_run_is_closed_at_the_next_start(zenml_client: Client) -> None:
    """After kill -9 the run says ``running``; the next start closes it and its step."""
    from pipelines.session import close_dead_runs

    name = f"killed-{os.getpid()}"
    ended = subprocess.run(
        [sys.executable, str(KILLED_RUN), name], capture_output=True, check=False, timeout=120
    )
    assert ended.returncode == -9, ended.stderr.decode()
    assert str(zenml_client.get_pipeline_run(name).status) == "running"
    assert close_dead_runs() == [name]
    run = zenml_client.get_pipeline_run(name)
    assert str(run.status) == "failed"
    assert {str(step.status) for step in run.steps.values()} == {"failed"}
    assert close_dead_runs() == []


def test_a_second_run_waits_for_the_first(zenml_client: Client) -> None:
    """While one process holds the lock, another says who holds it and goes on when it is free."""
    code = "from pipelines.session import one_run_at_a_time\nwith one_run_at_a_time():\n    print('ran')"
    with one_run_at_a_time():
        other = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert other.stderr is not None
        said = other.stderr.readline()
        assert str(os.getpid()) in said
        assert other.poll() is None
    out, _ = other.communicate(timeout=60)
    assert out.strip() == "ran"
