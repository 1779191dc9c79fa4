"""Runs whose process is gone are closed, those that live are not; one run at a time."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from materializers.errors import ServiceUnreachable, UsageError
from pipelines.session import PROJECT, one_run_at_a_time, prepare
from tests.stacks.local_orchestrator.stack import make_stack

if TYPE_CHECKING:
    from zenml.client import Client

KILLED_RUN = Path(__file__).parent / "killed_run.py"


@pytest.fixture(scope="module")
def stack_id(zenml_client: Client, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A stack whose orchestrator knows the processes that carry its runs; not the active one."""
    return str(make_stack(zenml_client, "session", tmp_path_factory.mktemp("session")))


def test_an_unknown_stack_is_refused(zenml_client: Client) -> None:
    """``--stack`` with a name that is not there names those that are."""
    with pytest.raises(UsageError, match="default"):
        prepare("no-such-stack")


@pytest.mark.parametrize("chosen", ["by zenml login --local", "by a variable"])
def test_a_dead_zenml_server_is_told_at_once(tmp_path: Path, chosen: str) -> None:
    """After a reboot, however it was chosen: one line, exit code 4, and what mends it."""
    with socket.socket() as taken:  # bound and not listening: nobody answers, and nobody else comes to
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        variables, mend = {"ZENML_STORE_URL": address}, "or unset ZENML_STORE_URL"
        if chosen == "by zenml login --local":
            (tmp_path / "config.yaml").write_text(f"store: {{type: rest, url: '{address}'}}\n")
            variables, mend = {}, "zenml login --local"
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, str(PROJECT / "run.py"), "--status"],
            env={**os.environ, "ZENML_CONFIG_PATH": str(tmp_path), **variables},
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.returncode == ServiceUnreachable.exit_code, done.stderr
    assert f"The ZenML server at {address} does not answer" in done.stderr
    assert mend in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(("retries", "ends_as"), [("0", "failed"), ("3", "stopped")])
def test_a_killed_run_is_closed_at_the_next_start(
    zenml_client: Client, stack_id: str, monkeypatch: pytest.MonkeyPatch, retries: str, ends_as: str
) -> None:
    """After kill -9 the run says ``running``; the next start that reaches MLflow closes it and its step.

    Also where ZenML would wait for another attempt of the step.
    """
    from pipelines import session
    from pipelines.session import close_dead_runs

    def unreachable(run: object) -> None:
        raise ServiceUnreachable("MLflow does not answer")

    name = f"killed-{os.getpid()}-{retries}"
    monkeypatch.setenv("ZENML_ACTIVE_STACK_ID", stack_id)
    ended = subprocess.run(
        [sys.executable, str(KILLED_RUN), name, retries], capture_output=True, check=False, timeout=120
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
    assert {str(step.status) for step in run.steps.values()} == {ends_as}
    assert close_dead_runs() == []


def test_a_run_of_another_stack_is_not_judged(
    zenml_client: Client, stack_id: str, own_stack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process is gone from here, and its own orchestrator may still carry it."""
    from pipelines.session import close_dead_runs, close_run

    name = f"elsewhere-{os.getpid()}"
    monkeypatch.setenv("ZENML_ACTIVE_STACK_ID", own_stack)
    ended = subprocess.run([sys.executable, str(KILLED_RUN), name, "0"], check=False, timeout=120)
    assert ended.returncode == -9
    assert close_dead_runs() == []  # ZenML's own orchestrator knows nothing of processes
    monkeypatch.setenv("ZENML_ACTIVE_STACK_ID", stack_id)
    assert close_dead_runs() == []
    run = zenml_client.get_pipeline_run(name)
    assert str(run.status) == "running"
    close_run(run)
    assert str(zenml_client.get_pipeline_run(name).status) == "failed"


def test_a_second_run_waits_for_the_first(zenml_client: Client) -> None:
    """While one process holds the lock, another says what holds it, and goes on when it is free."""
    code = (
        "from pipelines.session import one_run_at_a_time\n"
        "with one_run_at_a_time('--collect'):\n    print('ran')"
    )
    with one_run_at_a_time("--train"):
        other = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert other.stderr is not None
        said = other.stderr.readline()
        begin = f"Another run is going: --train, process {os.getpid()}, since {datetime.now(UTC):%Y}-"
        assert said.startswith(begin)
        assert re.search(
            r"-\d\d-\d\d \d\d:\d\d:\d\d UTC\. --collect begins once it has ended; Ctrl-C gives up", said
        )
        assert other.poll() is None
    out, _ = other.communicate(timeout=60)
    assert out.strip() == "ran"
