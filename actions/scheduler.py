"""The scheduler: one process in the foreground that starts what is due, one run at a time.

What it fires, and when it fired last, stands in the orchestrator's book; APScheduler keeps only the times in
memory. A fire is noted before its command starts and once more when it has ended. So whoever was killed in
between starts that command again, and what was missed meanwhile is made up for once, unless the schedule says
otherwise. What is due waits for the run that goes, whichever schedule's that is; of its own one it is left
out where the schedule says so.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from types import FrameType
from typing import IO, TYPE_CHECKING, Any

from actions.result import ActionResult
from materializers.errors import ShutterlineError
from materializers.redaction import one_line
from materializers.schedule import ScheduledCommand, next_fire
from pipelines.session import PROJECT
from steps.monitoring.alerts.refused import SCHEDULED
from steps.orchestrator import ScheduleBook, active_orchestrator

if TYPE_CHECKING:
    from apscheduler.events import JobSubmissionEvent
    from apscheduler.schedulers.background import BackgroundScheduler

    from pipelines.config import Config

PROGRAM = (sys.executable, str(PROJECT / "run.py"))
POLL_S = 0.5
"""How soon a change of the schedules counts."""
LOOK_S = 60.0
"""How often it looks for what nobody else tells people of, and tells what is still to be told."""
ENDING = ((signal.SIGINT, 60.0), (signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0))
"""What a run is sent when the scheduler ends, and the seconds that it has then."""
LAST_WORDS_S = 5.0
INSTANCES = {"skip": 1, "queue": 2}
"""How many fires of one schedule may be there at a time: one runs, and at most one waits for its end."""

logger = logging.getLogger("shutterline")


def run_scheduler(config: Config) -> ActionResult:
    """Fire the active stack's schedules until SIGTERM or Ctrl-C, which also end the run that is going.

    Raises:
        UsageError: another scheduler runs, or the stack keeps no schedules.
    """
    from pipelines.notification import look_around

    book = active_orchestrator().book()
    if book is None:
        said = "The active stack's orchestrator fires its schedules itself: nothing is to be done here."
        return ActionResult(action="scheduler", status="done", reasons=(said,), details={"fired": 0})
    stop = threading.Event()
    with _signals_set(stop):
        fired = fire_schedules(book, stop=stop, look=lambda: look_around(config))
    said = f"The scheduler was ended; it fired {fired} times."
    return ActionResult(action="scheduler", status="done", reasons=(said,), details={"fired": fired})


def fire_schedules(
    book: ScheduleBook,
    *,
    stop: threading.Event,
    look: Callable[[], object],
    program: Sequence[str] = PROGRAM,
) -> int:
    """Start each command when it is due, until ``stop`` is set, and return how many were started.

    What was missed before it began is due at once, once, or left out, as the schedule says; a command that
    was cut off is due at once.

    Args:
        book: what is to be fired.
        stop: ends it, with the run that is going.
        look: called at the start and then every minute; what it raises is said and changes nothing.
        program: the beginning of each command; a test waits for no minute by giving a row a past.

    Raises:
        UsageError: another process fires them.
    """
    from apscheduler.events import EVENT_JOB_MAX_INSTANCES
    from apscheduler.executors.pool import ThreadPoolExecutor
    from apscheduler.schedulers.background import BackgroundScheduler

    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
    fires = _Fires(book, stop, program)
    one_at_a_time = {"default": ThreadPoolExecutor(1)}
    # None: however late the one before it has ended, what is due then still runs.
    defaults = {"coalesce": True, "misfire_grace_time": None}
    with book.claim():
        jobs = BackgroundScheduler(timezone=UTC, executors=one_at_a_time, job_defaults=defaults)
        jobs.add_listener(fires.have_enough, EVENT_JOB_MAX_INSTANCES)
        jobs.start()
        try:
            logger.info("The scheduler runs, process %d; Ctrl-C ends it.", os.getpid())
            _watch(book, jobs, fires, stop, look)
        finally:
            stop.set()
            fires.end()
            jobs.shutdown(wait=True)
    return fires.count


def _watch(
    book: ScheduleBook,
    jobs: BackgroundScheduler,
    fires: _Fires,
    stop: threading.Event,
    look: Callable[[], object],
) -> None:
    """Keep the jobs as the book has them, and look around, until ``stop`` is set."""
    known: dict[str, ScheduledCommand] = {}
    stamp: object = None
    looked: float | None = None
    while not stop.is_set():
        if (now := book.stamp()) != stamp or stamp is None:
            with _said("The schedules could not be read; those known before go on"):
                known = _agree(jobs, fires, known, book.rows())
                stamp = now
        if looked is None or time.monotonic() - looked >= LOOK_S:
            looked = time.monotonic()
            with _said("What people are to be told of could not be looked for"):
                look()
        stop.wait(POLL_S)


def _agree(
    jobs: BackgroundScheduler,
    fires: _Fires,
    known: dict[str, ScheduledCommand],
    rows: Sequence[ScheduledCommand],
) -> dict[str, ScheduledCommand]:
    """Make the jobs those of ``rows``; one whose plan is as it was known is left alone."""
    from actions.cron_trigger import Times

    plans = {row.name: _plan(row) for row in rows}
    for name in known.keys() - plans.keys():
        _drop(jobs, name)
    for row in rows:
        if known.get(row.name) == plans[row.name]:
            continue
        _drop(jobs, row.name)
        now = datetime.now(UTC)
        goes = fires.going == row.name and not row.paused
        due = next_fire(row.cron, now, row.time_zone) if goes else row.due()
        if due is not None and due <= now and row.missed == "skip" and not row.begun:
            logger.info("%s: the fire of %s was missed and is left out", row.name, _minute(due))
            fires.leave_out(row.name)
            due = next_fire(row.cron, now, row.time_zone)
        if due is None:
            continue
        if due <= now:
            why = "was cut off" if row.begun else "was missed"
            logger.info("%s: the fire of %s %s and comes now", row.name, _minute(due), why)
        jobs.add_job(
            fires.fire,
            Times(row),
            args=[row.name],
            id=row.name,
            next_run_time=max(due, now),
            max_instances=INSTANCES[row.overlap],
        )
    return plans


def _minute(due: datetime) -> str:
    return f"{due:%Y-%m-%d %H:%M} UTC"


def _plan(row: ScheduledCommand) -> ScheduledCommand:
    """A row without what came of it."""
    return row.model_copy(update={"last_fire": None, "begun": None, "last_exit_code": None})


def _drop(jobs: BackgroundScheduler, name: str) -> None:
    if jobs.get_job(name) is not None:
        jobs.remove_job(name)


class _Fires:
    """Starts commands, and ends the one that is going."""

    def __init__(self, book: ScheduleBook, stop: threading.Event, program: Sequence[str]) -> None:
        self.count = 0
        self.going: str | None = None
        """Whose command runs now."""
        self._book, self._stop, self._program = book, stop, program
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._cut_off = False

    def have_enough(self, event: JobSubmissionEvent) -> None:
        """What is due is left out where as many fires of its schedule as may be there have not ended yet."""
        name, due = event.job_id, _minute(max(event.scheduled_run_times).astimezone(UTC))
        logger.info("%s: the fire of %s is left out: the one before it still goes", name, due)
        self.leave_out(name)

    def leave_out(self, name: str) -> None:
        """Note that a fire is left out, so that no later scheduler makes up for it."""
        with _said(f"{name}: that a fire was left out could not be noted"):
            self._book.leave_out(name)

    def fire(self, name: str) -> None:
        """Carry out one schedule's command, unless the scheduler ends or the schedule is gone."""
        if self._stop.is_set():
            return
        with _said(f"{name} could not be fired"):
            row = self._book.begin(name)
            if row is None:
                return
            self.going = name
            try:
                exit_code = self._carry_out(row)
            finally:
                self.going = None
            if exit_code is not None and not self._cut_off:
                self._book.finish(name, exit_code)

    def _carry_out(self, row: ScheduledCommand) -> int | None:
        """Run a row's command to its end; None where the scheduler ends before it begins."""
        command = [*self._program, *row.command, "--stack", row.stack]
        with self._lock:
            if self._stop.is_set():
                return None
            logger.info("%s: python run.py %s", row.name, shlex.join(command[len(self._program) :]))
            try:
                process = _start(command, row.directory)
            except OSError as error:
                logger.warning("%s: not started (%s): schedule it anew", row.name, error)
                return 1
            self._process = process
            self.count += 1
        begun = time.monotonic()
        reader = threading.Thread(target=_repeat, args=(row.name, process.stdout), daemon=True)
        reader.start()
        exit_code = process.wait()
        reader.join(LAST_WORDS_S)  # what it left running may hold its output open
        logger.info("%s: exit code %d after %.0f s", row.name, exit_code, time.monotonic() - begun)
        return exit_code

    def end(self) -> None:
        """End the run that is going, as Ctrl-C would; it stays noted as begun."""
        with self._lock:
            process = self._process
        if process is None or process.poll() is not None:
            return
        self._cut_off = True
        for signum, patience_s in ENDING:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signum)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience_s)
                return


def _start(command: list[str], directory: str) -> subprocess.Popen[str]:
    """In a group of its own: Ctrl-C at the scheduler's terminal comes through the scheduler alone."""
    return subprocess.Popen(
        command,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, SCHEDULED: "1"},
        start_new_session=True,
    )


def _repeat(name: str, output: IO[str]) -> None:
    for line in output:
        logger.info("%s: %s", name, line.rstrip())


@contextlib.contextmanager
def _said(what: str) -> Iterator[None]:
    """Say what fails in one line, and go on: a scheduler is there the next time, too."""
    try:
        yield
    except ShutterlineError as error:
        logger.warning("%s: %s", what, error)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other schedules are still to be fired
        logger.warning("%s: %s: %s", what, type(error).__name__, one_line(str(error)))


@contextlib.contextmanager
def _signals_set(stop: threading.Event) -> Iterator[None]:
    """Let SIGTERM and Ctrl-C set ``stop``."""

    def set_stop(signum: int, frame: FrameType | None) -> None:
        stop.set()

    before: dict[signal.Signals, Any] = {}
    for signum in (signal.SIGTERM, signal.SIGINT):
        before[signum] = signal.signal(signum, set_stop)
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
