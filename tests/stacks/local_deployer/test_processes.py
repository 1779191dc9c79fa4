"""Marked processes: started clean, found again, ended whole."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from serving.launching import PASSED_ON
from stacks.local_deployer import processes

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("up", flush=True)
time.sleep(600)
"""


def wait_for(log: Path, text: str) -> None:
    """Wait until a log says it."""
    deadline = time.monotonic() + 30
    while not (log.exists() and text in log.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_process_gets_no_credentials_and_no_python_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the caller's environment only what a server needs is passed on."""
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    log = tmp_path / "log"
    program = "import json, os; print(json.dumps(dict(os.environ)))"
    process = processes.start("one", [sys.executable, "-c", program], site=tmp_path, log=log, cwd=tmp_path)
    assert process.wait(30) == 0
    seen = json.loads(log.read_text())
    assert set(seen) <= {*PASSED_ON, processes.SITE, processes.NAME, "LC_CTYPE"}
    assert seen[processes.NAME] == "one"


def test_stopping_ends_children_and_what_ignores_sigterm(tmp_path: Path) -> None:
    """Only the named processes of the site end, with all their children."""
    site, other = tmp_path / "site", tmp_path / "other"
    command = [sys.executable, "-c", STUBBORN]
    for place, name in ((site, "one"), (site, "two"), (other, "one")):
        processes.start(name, command, site=place, log=tmp_path / f"{place.name}-{name}", cwd=tmp_path)
    try:
        for log in ("site-one", "site-two", "other-one"):
            wait_for(tmp_path / log, "up")
        assert {name: len(found) for name, found in processes.running(site).items()} == {"one": 2, "two": 2}
        processes.stop(["one", "unknown"], site=site, patience_s=0.2)
        assert list(processes.running(site)) == ["two"]
        assert len(processes.running(other)["one"]) == 2
    finally:
        processes.stop(["one", "two"], site=site, patience_s=0)
        processes.stop(["one"], site=other, patience_s=0)
    assert processes.running(site) == processes.running(other) == {}
