"""What ``python -m observability`` refuses: in one line that says what mends it, before anything starts."""

from __future__ import annotations

import logging
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from observability.exporter import main as exporter
from observability.site import Ports
from tests.observability.conftest import observability


@pytest.mark.parametrize("package", ["prometheus", "prometheus-alertmanager"])
def test_a_missing_package_is_named(tmp_path: Path, package: str) -> None:
    """One line with the Debian package, exit code 2, and no folder."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for other in {"prometheus", "prometheus-alertmanager"} - {package}:
        (programs / other).write_text("#!/bin/sh\n")
        (programs / other).chmod(0o755)
    done = observability("up", "--home", str(tmp_path / "site"), PATH=str(programs))
    assert done.exit_code == 2
    assert done.stderr == f"Error: There is no {package} on this machine: apt-get install {package}\n"
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--window", "often"), "--window 'often' cannot be used"),
        (("--patience", "0s"), "--patience '0s' cannot be used"),
        (("--set", "monitor.prometheus.latency_p99_ms=-1"), "latency_p99_ms"),
        (("--set", "monitor.prometheus.limit=1"), "limit"),
        (("--config", "nowhere.yaml"), "nowhere.yaml"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    """Times that are none, limits out of range, keys nobody knows: exit code 2, nothing written."""
    done = observability("render", "--to", str(tmp_path / "rules"), *arguments)
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert said in done.stderr
    assert not (tmp_path / "rules").exists()


@pytest.mark.parametrize("port", ["0", "99999"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    """By exporter and site alike, with the range, before anything starts."""
    for done in (
        CliRunner().invoke(exporter, ["--port", port]),
        observability("up", "--ports-from", port),
    ):
        assert (done.exit_code, done.stderr.count("is not in the range")) == (2, 1), done.stderr


def test_a_question_that_is_answered_404_is_no_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """ZenML has INFO shown, on which httpx says each request: it looks as if something failed."""
    logging.getLogger("httpx").setLevel(logging.NOTSET)
    observability("up", "--home", str(tmp_path / "site"), PATH=str(tmp_path))
    with caplog.at_level(logging.INFO):
        httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(404))).get("http://service/")
    assert "HTTP Request" not in caplog.text


def test_nothing_to_end_is_said(tmp_path: Path) -> None:
    """Of a folder in which nothing was started."""
    done = observability("down", "--home", str(tmp_path))
    assert (done.exit_code, done.stderr) == (
        2,
        f"Error: nothing was started below {tmp_path}: give --home\n",
    )


def test_default_ports_are_none_that_clients_are_given() -> None:
    """Three, each below Linux's 32,768: a connection of somebody else's would keep a server from its port."""
    ports = Ports.from_first(None).model_dump().values()
    assert len(set(ports)) == 3
    assert all(1024 < port < 32_768 for port in ports)
