"""What both deployers and the measurement of its cost tell a microservice, and how they know it is ready."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from serving.launching import (
    LAUNCHER,
    free_port,
    free_ports,
    last_lines,
    launcher_arguments,
    passed_on,
    says_ready,
    wait_until_ready,
)
from tests.serving.conftest import ROOT, SERVING_PYTHON, serving_environment

TOLD = {"model_version": "7", "model_digest": "ab" * 32}
READY = {"jsonData": {"model_name": "x", **TOLD}}


def test_the_launcher_takes_what_it_is_told(tmp_path: Path) -> None:
    """The arguments are the launcher's own: with a port that is in use they get as far as listening."""
    token_file = tmp_path / "token"
    token_file.write_text("a-token-of-this-test")
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        arguments = launcher_arguments(
            **TOLD,
            model_name="x",
            model_directory="model",
            host="127.0.0.1",
            port=port,
            metrics_port=port,
            max_body_bytes=1_000,
            workers=2,
            queue=3,
            queue_wait_s=0.5,
            token_file=str(token_file),
        )
        done = subprocess.run(
            [SERVING_PYTHON, *LAUNCHER, *arguments],
            cwd=ROOT,
            env=serving_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in done.stderr.splitlines()[-1]


def test_a_port_that_stays_is_none_that_clients_are_given() -> None:
    """Linux gives them those from 32,768 on."""
    chosen = [port for _ in range(20) for port in (free_port("127.0.0.1"), *free_ports("127.0.0.1"))]
    assert all(1024 < port < 32_768 for port in chosen)


def test_free_ports_can_be_listened_on() -> None:
    """Two different ones, both free."""
    first, second = free_ports("127.0.0.1")
    assert first != second
    for port in (first, second):
        socket.create_server(("127.0.0.1", port)).close()


def test_a_server_gets_no_credentials_and_no_python_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the environment only what a server needs."""
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("LANG", "C.UTF-8")
    passed = passed_on()
    assert passed["LANG"] == "C.UTF-8"
    assert not {"PYTHONPATH", "AWS_SECRET_ACCESS_KEY"} & passed.keys()


def test_ready_is_said_of_exactly_one_version_and_model() -> None:
    """Another version, another model and another status are not ready."""
    assert says_ready(200, READY, **TOLD)
    assert not says_ready(503, {}, **TOLD)
    assert not says_ready(200, READY, **TOLD | {"model_version": "8"})
    assert not says_ready(200, READY, **TOLD | {"model_digest": "cd" * 32})
    with pytest.raises(LookupError):
        says_ready(200, {"status": "ok"}, **TOLD)


def test_the_end_of_a_log_is_shown(tmp_path: Path) -> None:
    """The last lines, and a word where there are none."""
    log = tmp_path / "log"
    assert last_lines(log) == "(no log)"
    log.touch()
    assert last_lines(log) == "(the log is empty)"
    log.write_text("\n".join(map(str, range(100))))
    assert last_lines(log, 2) == "98\n99"


WAITING = [sys.executable, "-c", "input()"]


def started(command: list[str]) -> subprocess.Popen[bytes]:
    """A process that ends with its standard input at the latest."""
    return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)


def test_it_is_waited_for_until_it_is_ready() -> None:
    """Asked again and again; a process that runs on is no reason to give up."""
    answers = iter([False, False, True])
    with started(WAITING) as process:
        assert wait_until_ready(process, lambda: next(answers), timeout_s=30, setting="s") is None
    assert list(answers) == []


def test_a_process_that_ends_before_it_is_ready_is_not_waited_for() -> None:
    """The exit code is said."""
    with started([sys.executable, "-c", "raise SystemExit(3)"]) as process:
        happened = wait_until_ready(process, lambda: False, timeout_s=30, setting="s")
    assert happened == "ended with exit code 3 before it was ready"


def test_one_that_takes_too_long_is_not_waited_for_any_longer() -> None:
    """With the time that it had, and the setting that gives it more."""
    with started(WAITING) as process:
        happened = wait_until_ready(process, lambda: False, timeout_s=0.05, setting="start_timeout_s")
        assert process.poll() is None
    assert happened == "was not ready within 0.05 s (setting start_timeout_s)"
