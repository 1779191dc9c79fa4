"""Tests of steps/data/examining.py: pictures are examined in other processes as in this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from materializers.errors import ShutterlineError
from serving.bad_picture import BadPicture
from serving.preprocess import Limits
from steps.data.examining import FEW, MOST_PROCESSES, Examined, examine, examiner, processes_for
from tests.serving.pictures import encode, gradient
from tests.spawned import spawned_children
from tests.steps.data.planted import planted_jpeg

LIMITS = Limits()
ORPHANS = """
import sys
from serving.preprocess import Limits
from steps.data.examining import examiner

if __name__ == "__main__":
    with examiner(2) as examine_some:
        examine_some([b""], Limits())
        sys.stdout.write("ready\\n")
        sys.stdout.flush()
        sys.stdin.read()
"""


def test_other_processes_find_what_this_one_finds() -> None:
    """Pictures with and without metadata, and one that cannot be used with its reason and message."""
    encoded = [encode(gradient(60, 60)), planted_jpeg(1).data, encode(gradient(60, 60))[:-400]]
    with examiner(2) as examine_some:
        found = examine_some(encoded, LIMITS)
    here = examine(encoded, LIMITS)
    assert found[:2] == here[:2]
    assert isinstance(found[0], Examined)
    assert found[0].stripped.data is encoded[0]
    assert isinstance(found[2], BadPicture)
    assert isinstance(here[2], BadPicture)
    assert (found[2].reason, found[2].message) == (here[2].reason, here[2].message)


def test_a_process_that_is_killed_ends_the_examination_and_says_what_to_do() -> None:
    """The machine's memory killer is no traceback, and nothing waits for an answer that never comes."""
    with pytest.raises(ShutterlineError, match=r"--set ingest\.processes=1"), examiner(2) as examine_some:
        examine_some([b""], LIMITS)
        for child in spawned_children():
            child.kill()
        for _ in range(100):
            examine_some([encode(gradient(60, 60))], LIMITS)


def test_no_process_outlives_a_parent_that_was_killed(tmp_path: Path) -> None:
    """A kill -9 of the step leaves nothing that examines pictures for nobody."""
    script = tmp_path / "parent.py"
    script.write_text(ORPHANS)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen(
        [sys.executable, str(script)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        children = psutil.Process(parent.pid).children(recursive=True)
        assert len(children) >= 1
        parent.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []


def test_few_pictures_are_examined_by_this_process_alone() -> None:
    """A process takes a second to start."""
    assert processes_for(FEW - 1) == 1
    assert processes_for(FEW) == min(len(os.sched_getaffinity(0)), MOST_PROCESSES)
