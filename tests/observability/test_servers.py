"""A server is found again by its record, and by its port where that is damaged; another's is left alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.main.home import free_port
from observability.servers import ADDRESS, Server, answers
from tests.observability.conftest import observability

DAMAGED = [b"", b"{", b"[]", b"{}", b'{"pid": null, "started_at": 1.0}', b"\xff"]


def a_server(folder: Path, port: int) -> Server:
    """One that answers with a list of files, where they are none of anybody."""
    folder.mkdir(parents=True, exist_ok=True)
    command = (sys.executable, "-m", "http.server", "--bind", ADDRESS, "--directory", str(folder), str(port))
    url = f"http://{ADDRESS}:{port}"
    return Server("A server", folder, url, command, dict(os.environ), lambda: answers(url))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """It answers; it is ended afterwards, whatever became of its record."""
    started = a_server(tmp_path / "exporter", free_port())
    started.start()
    started.wait()
    process = started.process()
    assert process is not None
    yield started
    if process.is_running():
        process.kill()


@pytest.mark.parametrize("record", DAMAGED)
def test_a_server_whose_record_is_damaged_is_known_by_its_port(
    server: Server, record: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once, starting it again starts no second one, and it can be ended."""
    first = server.process()
    (server.folder / "process.json").write_bytes(record)
    server.start()
    assert server.process() == first
    (said,) = [each.getMessage() for each in caplog.records if each.name == "shutterline.servers"]
    assert "process.json is damaged" in said
    server.stop()
    assert server.process() is None
    assert not server.ready()


def test_of_a_damaged_record_nothing_that_runs_it_is_started_anew(tmp_path: Path) -> None:
    """What it was is taken for ended."""
    server = a_server(tmp_path, free_port())
    (tmp_path / "process.json").write_bytes(b"")
    assert server.process() is None
    server.start()
    try:
        server.wait()
    finally:
        server.stop()


def test_a_site_with_a_damaged_record_is_ended(server: Server) -> None:
    """By what holds its ports; without a traceback."""
    home, port = server.folder.parent, server.url.rpartition(":")[2]
    process = server.process()
    (home / "site.json").write_text(f'{{"prometheus": 1, "alertmanager": 2, "exporter": {port}}}')
    (server.folder / "process.json").write_bytes(b"")
    done = observability("down", "--home", str(home))
    assert (done.exit_code, done.stdout.startswith("ended")) == (0, True), done.output
    assert process is not None
    assert not server.ready()
