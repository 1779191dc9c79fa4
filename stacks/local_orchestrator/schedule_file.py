"""The schedules of one machine: rows of a JSON file, changed by one process at a time, fired by one."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from materializers.blobs import write_file
from materializers.errors import DamagedArtifact, ServiceUnreachable, UsageError
from materializers.report import Record
from materializers.schedule import ScheduledCommand, check_cron, no_such_schedule

CLAIM_PATIENCE_S = 2.0
"""How long a new scheduler insists: who only looks whether one runs holds the claim for an instant, too."""
POLL_S = 0.05


class Rows(Record):
    """What the file holds."""

    format_version: Literal[1] = 1
    schedules: tuple[ScheduledCommand, ...] = ()


class ScheduleFile:
    """The rows in ``folder/schedules.json``, the lock around their changes and the claim of the scheduler."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "schedules.json"
        self._lock = folder / "lock"
        self._claim = folder / "scheduler"

    def rows(self) -> tuple[ScheduledCommand, ...]:
        """Every row, by name.

        Raises:
            DamagedArtifact: the file is not what this orchestrator wrote.
            ServiceUnreachable: it cannot be read.
        """
        try:
            return Rows.model_validate_json(self.path.read_bytes()).schedules
        except FileNotFoundError:
            return ()
        except ValidationError as error:
            raise DamagedArtifact(
                f"{self.path} holds the schedules and cannot be understood: {error.errors()[0]['msg']}. "
                "Put back a copy of it, or remove it and schedule anew: python run.py --schedule"
            ) from error
        except OSError as error:
            raise ServiceUnreachable(
                f"{self.path} holds the schedules and cannot be read: {error}"
            ) from error

    def row(self, name: str) -> ScheduledCommand:
        """The row of this name.

        Raises:
            UsageError: there is none.
        """
        rows = self.rows()
        found = next((row for row in rows if row.name == name), None)
        if found is None:
            raise no_such_schedule(name, (row.name for row in rows))
        return found

    def put(self, row: ScheduledCommand) -> ScheduledCommand | None:
        """Add ``row``, or put it in the place of the one of its name, which is returned.

        Raises:
            UsageError: its cron expression is none.
            ServiceUnreachable: the file cannot be written.
        """
        check_cron(row.cron, row.time_zone)
        with self._changing():
            others = [other for other in self.rows() if other.name != row.name]
            replaced = next((other for other in self.rows() if other.name == row.name), None)
            self._write([*others, row])
        return replaced

    def pause(self, name: str, paused: bool = True) -> ScheduledCommand:
        """Pause a schedule, or resume it; what it missed in between it does not make up for.

        Raises:
            UsageError: there is none of this name.
        """
        return self._change(name, lambda row: {"paused": paused, "since": _later(row)})

    def change_cron(self, name: str, cron: str) -> ScheduledCommand:
        """Let a schedule fire at other times from now on.

        Raises:
            UsageError: there is none of this name, or the cron expression is none.
        """
        check_cron(cron)
        return self._change(name, lambda row: {"cron": cron, "since": _later(row)})

    def remove(self, name: str) -> ScheduledCommand:
        """Remove a schedule and return what it was; a run that it started goes on.

        Raises:
            UsageError: there is none of this name.
        """
        with self._changing():
            removed = self.row(name)
            self._write([row for row in self.rows() if row.name != name])
        return removed

    def begin(self, name: str) -> ScheduledCommand | None:
        """Note durably that a schedule fires now; None where it was paused or removed meanwhile."""
        now = datetime.now(UTC)
        try:
            row = self.row(name)
            return None if row.paused else self._change(name, lambda _: {"last_fire": now, "begun": now})
        except UsageError:
            return None

    def leave_out(self, name: str) -> None:
        """Note durably that whatever a schedule was due until now is left out; one that is gone stays so."""
        with suppress(UsageError):
            self._change(name, lambda row: {"since": _later(row)})

    def finish(self, name: str, exit_code: int) -> None:
        """Note that the run of a fire has ended, however it did; a schedule that was removed stays so."""
        with suppress(UsageError):
            self._change(name, lambda _: {"begun": None, "last_exit_code": exit_code})

    def stamp(self) -> tuple[int, ...]:
        """What differs after every change of the file."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return ()
        return (found.st_ino, found.st_mtime_ns, found.st_size)

    def holder(self) -> int | None:
        """The process that fires the schedules; None where none does."""
        try:
            file = os.open(self._claim, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            held: dict[str, Any] = json.loads(os.pread(file, 1000, 0) or b"{}")
            return int(held.get("process", 0))
        else:
            return None
        finally:
            os.close(file)

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Be the one process that fires the schedules; the kernel lets go when it ends, however it ends.

        Raises:
            UsageError: another process is.
            ServiceUnreachable: the folder cannot be written.
        """
        file = self._open(self._claim)
        try:
            deadline = time.monotonic() + CLAIM_PATIENCE_S
            while not _taken(file):
                if time.monotonic() > deadline:
                    raise UsageError(
                        f"Process {self.holder()} is the scheduler of {self.path} already: see what it fires "
                        "with python run.py --schedules, or end it first"
                    )
                time.sleep(POLL_S)
            os.ftruncate(file, 0)
            os.pwrite(file, json.dumps({"process": os.getpid()}).encode(), 0)
            yield
        finally:
            os.close(file)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        file = self._open(self._lock)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)  # held for as long as one small file takes to write
            yield
        finally:
            os.close(file)

    def _change(self, name: str, update: Callable[[ScheduledCommand], dict[str, Any]]) -> ScheduledCommand:
        with self._changing():
            found = self.row(name)
            changed = found.model_copy(update=update(found))
            self._write([changed if row.name == name else row for row in self.rows()])
        return changed

    def _write(self, rows: list[ScheduledCommand]) -> None:
        content = Rows(schedules=tuple(sorted(rows, key=lambda row: row.name)))
        try:
            write_file(self.path, content.model_dump_json(indent=2).encode())
        except OSError as error:
            raise ServiceUnreachable(
                f"{self.path} holds the schedules and cannot be written: {error}"
            ) from error

    def _open(self, path: Path) -> int:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ServiceUnreachable(f"The schedules in {path.parent} cannot be written: {error}") from error


def _taken(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _later(row: ScheduledCommand) -> datetime:
    return max(row.since, datetime.now(UTC))
