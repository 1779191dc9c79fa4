"""Runs whose process is gone are closed, those that live are not; one run at a time."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from materializers.errors import ServiceUnreachable, UsageError
from pipelines.session import PROJECT, is_dead, one_run_at_a_time, prepare, this_process

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


def test_a_dead_zenml_server_is_told_at_once(tmp_path: Path) -> None:
    """After ``zenml login --local`` and a reboot: one line, exit code 4, and what mends it."""
    with socket.socket() as taken:  # bound and not listening: nobody answers, and nobody else comes to
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, str(PROJECT / "run.py"), "--status"],
            env={**os.environ, "ZENML_CONFIG_PATH": str(tmp_path), "ZENML_STORE_URL": address},
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.returncode == ServiceUnreachable.exit_code, done.stderr
    assert f"The ZenML server at {address} does not answer" in done.stderr
    assert "zenml login --local" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert time.monotonic() - started < 30


def test_a_killed_run_is_closed_at_the_next_start(
    zenml_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After kill -9 the run says ``running``; the next start that reaches MLflow closes it and its step."""
    from pipelines import session
    from pipelines.session import close_dead_runs

    def unreachable(run: object) -> None:
        raise ServiceUnreachable("MLflow does not answer")

    name = f"killed-{os.getpid()}"
    ended = subprocess.run(
        [sys.executable, str(KILLED_RUN), name], capture_output=True, check=False, timeout=120
    )
    assert ended.returncode == -9, ended.stderr.decode()
    assert str(zenml_client.get_pipeline_run(name).status) == "running"
    with monkeypatch.context() as patch:
        patch.setattr(session, "_close_tracked", unreachable)
        assert close_dead_runs() == []
    run = zenml_client.get_pipeline_run(name)
    assert str(run.status) == "running"  # else nobody would find it again, and MLflow's stayed open
    assert {str(step.status) for step in run.steps.values()} == {"running"}
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
