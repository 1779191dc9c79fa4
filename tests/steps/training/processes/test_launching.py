"""Several processes at once: they know one another, one error says why they ended, and none stays behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from materializers.errors import NoRoom, ShutterlineError
from steps.training.processes.launching import launch
from tests.steps.training.processes import members

ROOT = Path(__file__).resolve().parents[4]
ENDED_S = 30


def gone(pids: list[int]) -> bool:
    """Whether these processes end soon."""
    _, alive = psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], ENDED_S)
    return not alive


def listening(pids: list[int]) -> set[tuple[int, str, int]]:
    """Process, address and port of all that these processes listen on."""
    return {
        (pid, each.laddr.ip, each.laddr.port)
        for pid in pids
        for each in psutil.Process(pid).net_connections(kind="inet")
        if each.status == psutil.CONN_LISTEN
    }


def test_the_first_one_answers_and_its_messages_come_in_order() -> None:
    """Two processes add up 20 and 20; what the first one sends is heard once, in this thread."""
    heard: list[int] = []
    set_by_torch = "TORCHELASTIC_SIGNALS_TO_HANDLE"  # when it is imported for the first time
    environment, handlers = dict(os.environ), signal.getsignal(signal.SIGTERM)
    assert launch(members.rank_and_sum, (20,), 2, heard.append) == (0, 40)
    assert heard == [0, 1, 2]
    changed = dict(os.environ.items() ^ environment.items())
    assert changed.keys() <= {set_by_torch}
    assert signal.getsignal(signal.SIGTERM) is handlers


class Enough(Exception):
    """What a caller raises that wants no more."""


def test_what_the_caller_raises_ends_them_and_they_listened_on_loopback_alone() -> None:
    """An error in the callback comes out as it is, and no process stays; nothing listened on the network."""
    before = listening([os.getpid()])
    found: list[int] = []
    addresses: set[str] = set()

    def on_message(pids: list[int]) -> None:
        found.extend(pids)
        addresses.update(address for _, address, _ in listening([os.getpid(), *pids]) - before)
        raise Enough

    with pytest.raises(Enough):
        launch(members.wait, (), 2, on_message)
    assert addresses == {"127.0.0.1"}
    assert len(found) == 2
    assert gone(found)


@pytest.mark.parametrize("rank", [0, 1])
def test_one_that_is_killed_is_named_and_ends_the_others(rank: int) -> None:
    """One sentence says which process was ended by which signal; exit code 1."""
    found: list[int] = []

    def on_message(pids: list[int]) -> None:
        found.extend(pids)
        os.kill(pids[rank], signal.SIGKILL)

    with pytest.raises(
        ShutterlineError, match=f"Process {rank} of the 2 .* ended by signal SIGKILL"
    ) as error:
        launch(members.wait, (), 2, on_message)
    assert error.value.exit_code == 1
    assert "\n" not in str(error.value)
    assert gone(found)


@pytest.mark.parametrize(
    ("member", "kind", "message"),
    [
        (members.no_room, NoRoom, "^The disk is full.$"),
        (
            members.mistaken,
            ShutterlineError,
            r"Process 1 of the 2 .* failed \(KeyError: 'weight'\).*processes=1",
        ),
    ],
)
def test_an_error_of_one_is_the_callers(
    member: Any, kind: type[ShutterlineError], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """What a user is to be told is raised as it was; anything else names the process and its error."""
    with pytest.raises(kind, match=message):
        launch(member, (), 2, lambda message: None)
    assert "Traceback" not in capfd.readouterr().err


def test_a_killed_caller_leaves_no_process_behind(tmp_path: Path) -> None:
    """After kill -9 of the one that launched them they end by themselves."""
    told = tmp_path / "pids"
    caller = subprocess.Popen([sys.executable, "-m", members.__name__, str(told)], cwd=ROOT)
    try:
        until = time.monotonic() + 300
        while not (told.exists() and told.read_text().endswith("\n")):
            assert caller.poll() is None
            assert time.monotonic() < until
            time.sleep(0.1)
    finally:
        caller.kill()
        caller.wait()
    assert gone([int(pid) for pid in told.read_text().split()])
