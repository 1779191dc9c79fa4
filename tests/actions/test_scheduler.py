"""A scheduler fires what is due, once; what it was killed in it does again; one run at a time.

The schedules have a past, so that nobody waits for a midnight: what was missed is due at once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from actions.scheduler import fire_schedules
from materializers.schedule import Overlap, ScheduledCommand
from stacks.local_orchestrator.schedule_file import ScheduleFile
from steps.monitoring.alerts.refused import SCHEDULED
from tests.conftest import PROJECT

PROCESS = Path(__file__).with_name("scheduler_process.py")
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
PATIENCE_S = 30.0
COMMAND = """
import os, sys, time
log, name, seconds, code = sys.argv[1:5]
def note(what):
    with open(log, "a") as file:
        file.write(f"{what} {name} {os.getpid()}\\n")
try:
    note("begin")
    print("says ä", flush=True)
    time.sleep(float(seconds))
except KeyboardInterrupt:
    note("interrupted")
    sys.exit(130)
note("end")
sys.exit(int(code))
"""


class Site:
    """Schedules in a folder, the commands they start, and a scheduler."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log"
        self.file = ScheduleFile(folder / "rows")
        self.output = folder / "output"
        self.program = folder / "command.py"
        self.program.write_text(COMMAND)
        self.scheduler: subprocess.Popen[bytes] | None = None

    def put(self, name: str = "a", *, seconds: float = 0, code: int = 0, **changes: object) -> None:
        """A schedule of every midnight since January, unless told otherwise."""
        row = {
            "name": name,
            "pipeline": "training",
            "cron": "0 0 * * *",
            "command": (str(self.log), name, str(seconds), str(code)),
            "stack": "local",
            "directory": str(self.folder),
            "since": LONG_AGO,
            **changes,
        }
        self.file.put(ScheduledCommand.model_validate(row))

    def start(self) -> subprocess.Popen[bytes]:
        """Start the scheduler."""
        with self.output.open("ab") as output:
            self.scheduler = subprocess.Popen(
                [sys.executable, str(PROCESS), str(self.file.path.parent), sys.executable, str(self.program)],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=PROJECT,
                env={**os.environ, "PYTHONPATH": str(PROJECT)},
                start_new_session=True,
            )
        return self.scheduler

    def events(self) -> list[str]:
        """What the commands noted, without their process ids."""
        return [line.rpartition(" ")[0] for line in self.lines()]

    def lines(self) -> list[str]:
        """What the commands noted."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def said(self) -> str:
        """What the schedulers printed."""
        return self.output.read_text()

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for it."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"{what} did not come: {self.said()}"
            time.sleep(0.05)

    def until_events(self, *events: str) -> None:
        """Wait until the commands noted exactly this."""
        self.until(lambda: self.events() == list(events), f"{events}, but {self.events()},")

    def end(self) -> int:
        """End the scheduler as a service manager would."""
        assert self.scheduler is not None
        self.scheduler.terminate()
        return self.scheduler.wait(PATIENCE_S)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Nothing scheduled yet; nothing is left running afterwards."""
    site = Site(tmp_path)
    yield site
    if site.scheduler is not None and site.scheduler.poll() is None:
        site.end()
    for line in site.lines():
        assert not is_running(int(line.rpartition(" ")[2])), line


def is_running(process_id: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        return psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_what_was_missed_is_fired_once_and_changes_count_at_once(site: Site) -> None:
    """Months of nights are one fire; a schedule that is added while it runs needs no restart."""
    site.put("a", code=3)
    site.put("paused", paused=True)
    site.put("later", cron="0 0 1 1 *", since=datetime.now(UTC))
    site.start()
    site.until_events("begin a", "end a")
    site.until(lambda: site.file.row("a").last_exit_code == 3, "the end of a")
    row = site.file.row("a")
    assert row.begun is None
    assert row.last_fire is not None
    assert (datetime.now(UTC) - row.last_fire).total_seconds() < PATIENCE_S
    site.put("b", last_fire=LONG_AGO)
    site.until_events("begin a", "end a", "begin b", "end b")
    site.until(lambda: site.file.row("b").last_exit_code == 0, "the end of b")
    assert site.end() == 0
    said = site.said()
    assert "a: the fire of 2026-01-02 00:00 UTC was missed and comes now" in said
    assert f"a: python run.py {site.log} a 0 3 --stack local" in said
    assert "a: says ä" in said
    assert "a: exit code 3 after" in said
    assert said.count("looked") == 1
    assert said.endswith("fired 2\n")


def test_what_was_missed_is_left_out_where_the_schedule_says_so(site: Site) -> None:
    """Neither now nor by the scheduler after this one; what was cut off comes again all the same."""
    site.put("a", missed="skip")
    site.put("cut", missed="skip", last_fire=LONG_AGO, begun=LONG_AGO)
    for begun in (1, 2):
        site.start()
        site.until(lambda: site.said().count("looked") == begun, "the look")  # noqa: B023 - waited for here
        site.until_events("begin cut", "end cut")
        site.until(lambda: site.file.row("cut").last_exit_code == 0, "the end of cut")
        assert site.end() == 0
    assert "a: the fire of 2026-01-02 00:00 UTC was missed and is left out" in site.said()
    assert site.file.row("a").last_fire is None
    assert site.file.row("a").since > datetime.now(UTC) - timedelta(minutes=5)


@pytest.mark.parametrize(("overlap", "runs"), [("queue", 2), ("skip", 1)])
def test_what_is_due_while_its_own_last_run_goes(
    site: Site, monkeypatch: pytest.MonkeyPatch, overlap: Overlap, runs: int
) -> None:
    """One comes after it, however often it was due; or it is left out, and no restart makes up for it.

    The calendar is the test's: half a second and a second after the first fire, and never again.
    """
    begun = datetime.now(UTC)

    def twice(_: object, previous: datetime | None, now: datetime) -> datetime:
        last = previous or now
        return last + timedelta(seconds=0.5 if last - begun < timedelta(seconds=1) else 3600)

    monkeypatch.setattr("actions.cron_trigger.Times.get_next_fire_time", twice)
    site.put("a", seconds=2, overlap=overlap)
    stop, program = threading.Event(), (sys.executable, str(site.program))
    settings: dict[str, Any] = {"stop": stop, "look": lambda: None, "program": program}
    with ThreadPoolExecutor(1) as thread:
        scheduler = thread.submit(fire_schedules, site.file, **settings)
        try:
            site.until_events(*["begin a", "end a"] * runs)
            time.sleep(1)
        finally:
            stop.set()
    assert scheduler.result() == runs
    assert site.events() == ["begin a", "end a"] * runs
    due = site.file.row("a").due()
    assert due is not None
    assert due > datetime.now(UTC)


def test_a_killed_scheduler_resumes(site: Site) -> None:
    """After kill -9 in a run, the next scheduler runs the same command again; what ended, it does not."""
    site.put("a", seconds=1)
    scheduler = site.start()
    site.until_events("begin a")
    scheduler.kill()
    assert scheduler.wait() == -9
    assert site.file.row("a").begun is not None
    # What it started goes on by itself; here it is ended, too, as by the machine's end.
    os.kill(int(site.lines()[0].rpartition(" ")[2]), signal.SIGKILL)
    scheduler = site.start()
    site.until_events("begin a", "begin a", "end a")
    site.until(lambda: site.file.row("a").begun is None, "the end of a")
    assert "was cut off and comes now" in site.said()
    scheduler.kill()
    scheduler.wait()
    site.start()
    site.until(lambda: site.said().count("looked") == 3, "the third scheduler")
    time.sleep(1)
    assert site.events() == ["begin a", "begin a", "end a"]
    assert site.end() == 0


def test_a_schedule_that_is_resumed_while_it_runs_is_not_fired_once_more(site: Site) -> None:
    """Paused and resumed at once, because somebody looked: one run, and the next one is tomorrow's."""
    site.put("a", seconds=2.5)
    site.start()
    site.until_events("begin a")
    for paused in (True, False):
        site.file.pause("a", paused)
        time.sleep(0.8)  # longer than a scheduler takes to see it
    site.until_events("begin a", "end a")
    site.until(lambda: site.file.row("a").last_exit_code == 0, "the end of a")
    time.sleep(1)
    assert site.end() == 0
    assert site.events() == ["begin a", "end a"]
    assert "was cut off" not in site.said()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_its_end_is_passed_on_and_waited_for(site: Site, signum: signal.Signals) -> None:
    """The run ends as by Ctrl-C, and comes again with the next scheduler; nothing is left running."""
    site.put("a", seconds=60)
    site.put("b", seconds=60)
    scheduler = site.start()
    site.until(lambda: len(site.events()) == 1, "the first run")
    scheduler.send_signal(signum)
    assert scheduler.wait(PATIENCE_S) == 0
    assert [event.split()[0] for event in site.events()] == ["begin", "interrupted"]
    name = site.events()[0].split()[1]
    assert site.file.row(name).begun is not None
    assert site.file.row("b" if name == "a" else "a").begun is None
    assert "fired 1" in site.said()


def test_runs_come_one_by_one_and_what_cannot_be_started_stops_none(site: Site) -> None:
    """A folder that is gone, a damaged file: one line each, and the scheduler is there for the rest.

    A second scheduler is refused meanwhile, with the process of the first.
    """
    site.put("gone", directory=str(site.folder / "gone"))
    for name in ("a", "b", "c"):
        site.put(name, seconds=0.3)
    first = site.start()
    site.until(lambda: len(site.events()) == 6, "six events")
    runs = [event.split() for event in site.events()]
    assert [runs[i] for i in (1, 3, 5)] == [["end", runs[i][1]] for i in (0, 2, 4)]
    assert sorted(runs[i][1] for i in (0, 2, 4)) == ["a", "b", "c"]
    site.until(lambda: "gone: not started" in site.said(), "the line about the folder")
    # What came of each is noted: the scheduler writes no more, which would mend the damage.
    codes = {"a": 0, "b": 0, "c": 0, "gone": 1}
    site.until(lambda: all(site.file.row(name).last_exit_code == codes[name] for name in codes), "the codes")
    whole = site.file.path.read_bytes()
    site.file.path.write_text("{")
    site.until(lambda: "those known before go on" in site.said(), "the line about the damaged file")
    site.file.path.write_bytes(whole)
    site.put("d")
    site.until(lambda: site.events()[6:] == ["begin d", "end d"], "the run of d")
    assert site.file.row("gone").last_exit_code == 1
    second = site.start()
    assert second.wait(PATIENCE_S) != 0
    assert f"Process {first.pid} is the scheduler" in site.said()
    site.scheduler = first
    assert first.poll() is None
    assert site.end() == 0
    assert "those known before go on: " in site.said()


def test_a_command_knows_that_a_schedule_started_it(site: Site) -> None:
    """Nobody reads at a terminal what it comes to: a refusal is told to people."""
    site.program.write_text(
        "import os, sys\n"
        f"said = os.environ['{SCHEDULED}']\n"
        "open(sys.argv[1], 'a').write(f'{said} {os.getpid()}\\n')\n"
    )
    site.put()
    site.start()
    site.until_events("1")
