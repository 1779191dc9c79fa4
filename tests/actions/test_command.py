"""What run.py does with the streams that it is given."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT

RUN = (sys.executable, str(PROJECT / "run.py"))
WRONG_USE = 2
INTERRUPTED = 130


def test_json_onto_a_full_disk_is_one_line() -> None:
    """The exit code of the work stays, and one line says that nobody can read about it."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*RUN, "--json"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == WRONG_USE
    assert "Standard output cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_json_into_a_pipe_that_nobody_reads_is_one_line() -> None:
    """As in ``run.py --json | true``."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*RUN, "--json"], stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert done.returncode == WRONG_USE
    assert "Standard output cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_change_no_exit_code(closed: str) -> None:
    """A closed stream takes nothing, and nothing fails for that."""
    line = f'"$0" "$1" --json {closed}'
    done = subprocess.run(["bash", "-c", line, *RUN], capture_output=True, text=True, check=False)
    assert done.returncode == WRONG_USE
    assert "Traceback" not in done.stdout + done.stderr


INTERRUPTED_AS_IF = """
import os, signal, sys, time, weakref
import pipelines.config
from actions.command import execute
from actions.request import Request

def press():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(10)

def becomes_a_fault(*_):
    try:
        press()
    except KeyboardInterrupt as error:
        raise ImportError("initialization failed") from error

def is_dropped(*_):
    class Part: pass
    part = Part()
    kept = weakref.ref(part, lambda _: press())
    del part
    time.sleep(10)
    raise AssertionError("the interruption was lost")

pipelines.config.load_config = {how}
sys.exit(execute(Request(status=True, as_json=True)))
"""


@pytest.mark.parametrize("how", ["becomes_a_fault", "is_dropped"])
def test_an_interruption_that_gets_lost_is_one(how: str) -> None:
    """In a C++ module's import Ctrl-C becomes an ImportError, in a weak reference's callback nothing: 130."""
    done = subprocess.run(
        ["env", "--default-signal=INT", sys.executable, "-c", INTERRUPTED_AS_IF.format(how=how)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == INTERRUPTED, done.stderr
    assert done.stderr.splitlines()[-1].startswith("Interrupted; the same command goes on")
    assert "Traceback" not in done.stderr


def test_text_that_a_terminal_cannot_show_is_escaped() -> None:
    """A Latin-1 argument in a terminal that knows ASCII alone."""
    done = subprocess.run(
        [*RUN, "--json", "--train", "--source", os.fsdecode(b"caf\xe9.zip")],
        env={**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == WRONG_USE
    [result] = json.loads(done.stdout)["results"]
    assert "is not UTF-8" in result["reasons"][0]
    assert "Traceback" not in done.stderr
