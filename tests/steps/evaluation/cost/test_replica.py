"""A replica is the service itself; nothing of it is left, however its measurement ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from serving.launching import free_ports
from steps.evaluation.cost.load import Target, ask, resident_bytes
from steps.evaluation.cost.replica import (
    DEFAULT_PYTHON,
    MEGABYTE,
    PROJECT,
    PYTHON_VARIABLE,
    NotServed,
    Replica,
    replica,
    serving_python,
)
from tests.serving.conftest import SERVING_PYTHON
from tests.serving.pictures import encode, gradient
from tests.stacks.local_deployer.conftest import write_model

CHOICE = "steps.evaluation.cost.replica.free_ports"
PICTURE = encode(gradient(28, 28))
HOLDING = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    from steps.evaluation.cost.replica import replica, serving_python
    directory, digest = sys.argv[1:]
    with replica(Path(directory), digest, python=serving_python(None), timeout_s=60) as served:
        print(*(process.pid for process in served.processes), flush=True)
        time.sleep(600)
    """
)
"""A command that serves a model until it is ended."""


@pytest.fixture
def model(tmp_path: Path) -> tuple[Path, str]:
    """A model directory that loads in a millisecond, and its digest."""
    directory = tmp_path / "model"
    return directory, write_model(directory, 1)


def left_of(directory: Path) -> list[psutil.Process]:
    """The processes that were told to serve this directory and still run."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        told = " ".join(process.info["cmdline"] or ())
        if f'"{directory}"' in told and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def wait_for_the_end(directory: Path) -> None:
    """Until nothing serves this directory any more."""
    until = time.monotonic() + 40
    while left_of(directory):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_it_serves_the_model_and_leaves_nothing(model: tuple[Path, str]) -> None:
    """It answers a picture, has memory and has used CPU time; afterwards no process and no port is left."""
    with replica(*model, python=SERVING_PYTHON, timeout_s=60) as served:
        ask(Target.of(served.url), PICTURE)
        assert 0.1 < served.start_up_s < 60
        assert len(served.processes) == 2
        assert served.memory_mb() > 50
        said = resident_bytes(Target.of(served.url))
        assert said == pytest.approx(served.memory_mb() * MEGABYTE, rel=0.02)
        assert served.cpu_s() > 0
        assert len(left_of(model[0])) == 2
    assert left_of(model[0]) == []
    target = Target.of(served.url)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((target.host, target.port or 0), timeout=5)


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_when_measuring_fails(model: tuple[Path, str], kind: type[BaseException]) -> None:
    """Whatever is raised while it is served goes on to the caller."""
    with pytest.raises(kind), replica(*model, python=SERVING_PYTHON, timeout_s=60):
        raise kind
    assert left_of(model[0]) == []


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_the_command_that_measures(
    model: tuple[Path, str], sent: signal.Signals, tmp_path: Path
) -> None:
    """Interrupted, ended or killed: the replica, which nobody would end any more, ends by itself."""
    holding = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(model[0]), model[1]],
        cwd=PROJECT,
        env={**os.environ, "TMPDIR": str(tmp_path)},  # what is killed cannot remove its log
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with holding:
        assert holding.stdout
        assert len(holding.stdout.readline().split()) == 2
        assert len(left_of(model[0])) == 2
        holding.send_signal(sent)
    wait_for_the_end(model[0])


def why_not_served(directory: Path, digest: str, *, timeout_s: float = 60) -> str:
    """What is said of a replica that does not come up; nothing of it is left."""
    with (
        pytest.raises(NotServed) as raised,
        replica(directory, digest, python=SERVING_PYTHON, timeout_s=timeout_s),
    ):
        pytest.fail("it was served")
    assert left_of(directory) == []
    return str(raised.value)


def test_another_model_is_not_served(model: tuple[Path, str]) -> None:
    """One with another digest does not become ready; the reason is the end of the log."""
    reason = why_not_served(model[0], "0" * 64)
    assert reason.startswith("The replica ended with exit code 4 before it was ready. Its log ends:\n")
    assert f"has digest {model[1]}; the release names {'0' * 64}" in reason.splitlines()[-1]


def test_one_that_is_too_slow_to_start_is_ended(model: tuple[Path, str]) -> None:
    """The limit is said with the setting that moves it."""
    reason = why_not_served(*model, timeout_s=0.01)
    assert "not ready within 0.01 s (setting evaluate.cost.start_timeout_s)" in reason


def test_a_port_that_somebody_takes_first_is_replaced(
    model: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chosen free and taken before it was used: other ports are tried; with none to be had it says so."""
    with socket.create_server(("127.0.0.1", 0)) as busy:
        taken = busy.getsockname()[1]
        chosen = iter([(taken, taken)])
        monkeypatch.setattr(CHOICE, lambda host: next(chosen, None) or free_ports(host))
        with replica(*model, python=SERVING_PYTHON, timeout_s=60) as served:
            ask(Target.of(served.url), PICTURE)
        monkeypatch.setattr(CHOICE, lambda host: (taken, taken))
        assert f"cannot listen on 127.0.0.1 port {taken}" in why_not_served(*model)


def test_a_worker_that_ends_meanwhile_is_noticed(model: tuple[Path, str]) -> None:
    """What it used and held is not taken for what its successor does."""
    with replica(*model, python=SERVING_PYTHON, timeout_s=60) as served:
        worker = served.processes[-1]
        os.kill(worker.pid, signal.SIGKILL)
        until = time.monotonic() + 20
        while worker.is_running() and time.monotonic() < until:
            time.sleep(0.05)
        for ask_of in (Replica.memory_mb, Replica.cpu_s):
            with pytest.raises(NotServed, match="ended while it was measured"):
                ask_of(served)


def test_the_serving_environment_is_the_one_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the setting, by what an image sets, or the project's own; one that is not there is said."""
    monkeypatch.delenv(PYTHON_VARIABLE, raising=False)
    assert serving_python(None) == PROJECT / DEFAULT_PYTHON
    monkeypatch.setenv(PYTHON_VARIABLE, sys.executable)
    assert serving_python(None) == Path(sys.executable)
    assert serving_python(DEFAULT_PYTHON) == PROJECT / DEFAULT_PYTHON
    with pytest.raises(NotServed, match=r"nowhere/python does not exist. Build it with `make setup`"):
        serving_python("nowhere/python")
