"""The one address: what it binds, limits and answers."""

from __future__ import annotations

import socket
from pathlib import Path

import httpx
import psutil
import pytest

from benchmarks.main.home import free_port
from materializers.errors import UsageError
from materializers.release import Arm
from stacks.local_deployer.deployer import SeldonLocalModelDeployer
from tests.stacks.local_deployer.conftest import (
    MODEL_NAME,
    answering_version,
    end,
    make_deployer,
    release_of,
    serving,
)


def test_a_port_in_use_is_said_before_anything_starts(zenml_stack: Path, tmp_path: Path, first: Arm) -> None:
    """The error names the port and the setting, and nothing runs."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        deployer = make_deployer(tmp_path / "site", port=port)
        with pytest.raises(UsageError, match=rf"Port {port} .*SHUTTERLINE_PORT"):
            deployer.apply(release_of(first))
        assert serving(deployer) == {}
        assert deployer.live() == []


def test_only_loopback_is_bound(deployer: SeldonLocalModelDeployer, first: Arm) -> None:
    """Neither ingress nor microservice answers on another address of the machine."""
    deployer.apply(release_of(first))
    pids = {pid for found in serving(deployer).values() for pid in found}
    listening = [
        one
        for pid in pids
        for one in psutil.Process(pid).net_connections(kind="inet")
        if one.status == psutil.CONN_LISTEN
    ]
    ports = {one.laddr.port for one in listening}
    assert deployer.config.port in ports
    assert len(ports) == 3
    assert {one.laddr.ip for one in listening} == {"127.0.0.1"}
    others = [
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET and not address.address.startswith("127.")
    ]
    for other in others:
        for port in ports:
            with pytest.raises(OSError, match="refused"):
                socket.create_connection((other, port), timeout=2)
    with pytest.raises(ValueError, match="loopback only"):
        make_deployer(deployer.config.site, host="0.0.0.0")  # noqa: S104


def test_the_ingress_answers_in_json_and_limits_bodies(zenml_stack: Path, tmp_path: Path, first: Arm) -> None:
    """Another path is a 404, a body above the limit a 413, a bad picture the microservice's own 400."""
    deployer = make_deployer(tmp_path / "site", max_body_bytes=100_000)
    try:
        live = deployer.apply(release_of(first))
        assert live.url
        raw = {"content-type": "application/octet-stream"}
        base = f"http://127.0.0.1:{deployer.config.port}"
        for path in ("/", "/seldon/production/x/api/v1.0/predictions", f"/seldon/staging/{MODEL_NAME}/../x"):
            missing = httpx.get(base + path)
            assert missing.status_code == 404
            assert "no model is served at this path" in missing.json()["status"]["info"]
        for size in (100_001, 2_000_000):
            assert httpx.post(live.url, content=b"x" * size, headers=raw).status_code == 413
        bad = httpx.post(live.url, content=b"not a picture", headers=raw)
        assert bad.status_code == 400
        assert bad.json()["status"]["reason"]
    finally:
        end(deployer)


def test_another_port_is_taken_once_the_ingress_was_stopped(
    deployer: SeldonLocalModelDeployer, first: Arm, second: Arm
) -> None:
    """A changed setting does not move a running ingress unnoticed, and `stop` still finds it."""
    live = deployer.apply(release_of(first))
    moved = make_deployer(deployer.config.site, port=free_port())
    with pytest.raises(UsageError, match=r"other settings.*--stop"):
        moved.apply(release_of(second))
    assert deployer.healthy(live)
    assert len(moved.stop()) == 2
    assert serving(moved) == {}
    assert answering_version(moved.apply(release_of(second))) == str(second.version)
