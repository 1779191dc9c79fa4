"""Rows that survive, one process that changes them, one that fires them."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from materializers.errors import DamagedArtifact, ServiceUnreachable, UsageError
from materializers.schedule import ScheduledCommand
from stacks.local_orchestrator.schedule_file import ScheduleFile
from tests.conftest import PROJECT

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def row(name: str = "training-shop", cron: str = "0 2 * * 1", **changes: object) -> ScheduledCommand:
    """A schedule of a training."""
    given = {
        "name": name,
        "pipeline": "training",
        "cron": cron,
        "command": ("--train", "--source", "delivery.zip"),
        "stack": "local",
        "directory": "/",
        "since": LONG_AGO,
        **changes,
    }
    return ScheduledCommand.model_validate(given)


@pytest.fixture
def file(tmp_path: Path) -> ScheduleFile:
    """A file that is not there yet."""
    return ScheduleFile(tmp_path / "schedules")


def test_there_is_nothing_at_first(file: ScheduleFile) -> None:
    """No file is no schedule, and nobody fires."""
    assert file.rows() == ()
    assert file.holder() is None
    assert file.stamp() == ()


def test_what_was_put_is_read_by_another_process(file: ScheduleFile) -> None:
    """All of it, sorted by name."""
    rows = (row("a"), row("b", command=("--infer", "--input", "ä ö")))
    assert file.put(rows[1]) is None
    assert file.put(rows[0]) is None
    assert ScheduleFile(file.path.parent).rows() == rows


def test_the_same_name_is_replaced(file: ScheduleFile) -> None:
    """There is one row of it then, and what it was before is handed back."""
    first, second = row(last_fire=LONG_AGO), row(cron="0 3 * * *")
    file.put(first)
    assert file.put(second) == first
    assert file.rows() == (second,)


def test_a_row_that_would_never_fire_is_not_kept(file: ScheduleFile) -> None:
    """The rows stay as they are."""
    with pytest.raises(UsageError):
        file.put(row(cron="0 0 30 2 *"))
    assert file.rows() == ()


def test_an_unknown_name_is_refused_with_those_there_are(file: ScheduleFile) -> None:
    """For every change."""
    with pytest.raises(UsageError, match="there is none"):
        file.remove("training-shop")
    file.put(row("a"))
    file.put(row("b"))
    for change in (file.remove, file.pause, lambda name: file.change_cron(name, "0 3 * * *")):
        with pytest.raises(UsageError, match=r"'c'.*there is: a, b"):
            change("c")


def test_what_was_missed_while_paused_is_not_made_up_for(file: ScheduleFile) -> None:
    """Resumed, it is due at its next time from now on."""
    file.put(row(cron="* * * * *"))
    assert file.pause("training-shop").due() is None
    due = file.pause("training-shop", paused=False).due()
    assert due is not None
    assert due > datetime.now(UTC)


def test_a_fire_is_noted_before_and_after(file: ScheduleFile) -> None:
    """In between the row says that it was begun: whoever finds it so knows that it was cut off."""
    file.put(row())
    begun = file.begin("training-shop")
    assert begun is not None
    assert begun.begun == begun.last_fire
    assert begun.due() == begun.begun
    assert datetime.now(UTC) - file.row("training-shop").last_fire < timedelta(seconds=30)  # type: ignore[operator]
    file.finish("training-shop", 3)
    ended = file.row("training-shop")
    assert (ended.begun, ended.last_exit_code) == (None, 3)


def test_a_paused_or_removed_schedule_is_not_begun(file: ScheduleFile) -> None:
    """And the end of a fire does not bring it back."""
    file.put(row())
    file.pause("training-shop")
    assert file.begin("training-shop") is None
    file.remove("training-shop")
    assert file.begin("training-shop") is None
    file.finish("training-shop", 0)
    assert file.rows() == ()


def test_changes_at_once_lose_nothing(file: ScheduleFile) -> None:
    """Twenty writers, twenty rows."""
    names = [f"schedule-{number:02}" for number in range(20)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: ScheduleFile(file.path.parent).put(row(name)), names))
    assert [found.name for found in file.rows()] == names


@pytest.mark.parametrize(
    "content",
    ["", "{", '{"format_version": 2, "schedules": []}', '{"format_version": 1, "schedule": []}'],
)
def test_a_damaged_file_is_refused_and_left_alone(file: ScheduleFile, content: str) -> None:
    """With what mends it; nothing is written over what somebody may want back."""
    file.path.parent.mkdir()
    file.path.write_text(content)
    for act in (file.rows, lambda: file.put(row())):
        with pytest.raises(DamagedArtifact, match="Put back a copy"):
            act()
    assert file.path.read_text() == content


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """As a service of the stack that cannot be."""
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(ServiceUnreachable, match="cannot be written"):
        ScheduleFile(tmp_path / "taken").put(row())


def test_one_process_fires(file: ScheduleFile) -> None:
    """A second is refused with the first one's id, until that has ended, also by kill -9."""
    code = (
        "import sys, time, pathlib\n"
        "from stacks.local_orchestrator.schedule_file import ScheduleFile\n"
        f"with ScheduleFile(pathlib.Path({str(file.path.parent)!r})).claim():\n"
        "    print('claimed', flush=True)\n"
        "    time.sleep(60)\n"
    )
    first = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=PROJECT)
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == "claimed\n"
        assert file.holder() == first.pid
        with pytest.raises(UsageError, match=f"Process {first.pid} is the scheduler"), file.claim():
            pass
    finally:
        first.kill()
        first.wait()
    assert file.holder() is None
    with file.claim():
        assert file.holder() is not None


def test_looking_does_not_keep_a_scheduler_from_starting(file: ScheduleFile) -> None:
    """Who looks holds the claim for an instant; who starts insists for longer."""
    with file.claim():
        pass
    with ThreadPoolExecutor(1) as pool:
        ends = time.monotonic() + 1

        def look() -> None:
            while time.monotonic() < ends:
                file.holder()

        looking = pool.submit(look)
        for _ in range(20):
            with file.claim():
                pass
        looking.result()


def test_every_change_is_seen(file: ScheduleFile) -> None:
    """The stamp of the file differs after each."""
    stamps = [file.stamp()]
    file.put(row())
    stamps.append(file.stamp())
    file.pause("training-shop")
    stamps.append(file.stamp())
    file.change_cron("training-shop", "0 3 * * *")
    stamps.append(file.stamp())
    file.remove("training-shop")
    stamps.append(file.stamp())
    assert len(set(stamps)) == len(stamps)
