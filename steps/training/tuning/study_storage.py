"""Where a study is kept, and which of its trials somebody still works on.

A journal on disk belongs to one machine: whoever works on the study holds a lock of the system, which lets go
of it when a process dies, however it dies. A database is shared by machines: a trial that does not beat any
more is dead. Both keep only text; Optuna's own snapshots, which are pickled, are never asked for.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import IO, Protocol
from uuid import uuid4

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, Trial

from materializers.errors import DamagedArtifact, ServiceUnreachable, UsageError

logger = logging.getLogger("shutterline")

JOURNAL = "journal.log"
OWNER, BEAT = "owner", "beat"
BEAT_SECONDS, DEAD_SECONDS = 10.0, 120.0
"""How often a trial in a database says that it goes on, and after which silence it is dead."""


@dataclass(frozen=True)
class Where:
    """Where a study is, for every process that works on it.

    Attributes:
        name: the study's.
        folder: of its journal; None: it is in a database.
        url: of the database, with its password.
    """

    name: str
    folder: Path | None = None
    url: str | None = None


class Place(Protocol):
    """One process's hold on a study."""

    storage: BaseStorage

    @contextmanager
    def claiming(self) -> Iterator[None]:
        """While a trial is chosen, nobody else of this machine chooses one."""

    def take(self, trial: Trial) -> None:
        """Say whose a trial is; while claiming."""

    def working(self, trial: Trial) -> AbstractContextManager[None]:
        """While this lasts, the trial is alive."""

    def alive(self, trial: FrozenTrial) -> bool:
        """Whether somebody works on a running trial; while claiming."""

    def close(self) -> None:
        """Let go: what still runs is dead then."""


def open_place(where: Where) -> Place:
    """Get hold of a study.

    Raises:
        DamagedArtifact: its journal cannot be read.
        UsageError: the database has no driver here.
        ServiceUnreachable: it does not answer.
    """
    return JournalPlace(where.folder) if where.folder is not None else DatabasePlace(str(where.url))


@contextmanager
def answering(where: Where) -> Iterator[None]:
    """Turn what a database raises that was lost into one clear line.

    Raises:
        ServiceUnreachable: it was lost.
    """
    try:
        yield
    except StorageInternalError as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise ServiceUnreachable(
            f"The database of tune.storage was lost ({reason}). Trials that were finished are in it: run the "
            f"same command again once it answers, and study {where.name} goes on"
        ) from error


class JournalPlace:
    """A journal in a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        journal = folder / JOURNAL
        with _locked(folder / "claim.lock"):
            self._name = f"alive-{uuid4().hex}"
            self._presence = (folder / self._name).open("ab")
            fcntl.flock(self._presence, fcntl.LOCK_EX)
            lock = JournalLock(journal)
            lock.acquire()
            drop_damaged_end(journal)
            lock.release()
        try:
            self.storage: BaseStorage = JournalStorage(JournalFileBackend(str(journal), lock_obj=lock))
        except (ValueError, KeyError) as error:
            self.close()
            raise DamagedArtifact(
                f"The study at {journal} cannot be read ({error}). Remove it: its trials are run anew"
            ) from error

    @contextmanager
    def claiming(self) -> Iterator[None]:
        """Alone, among all processes of this machine."""
        with _locked(self._folder / "claim.lock"):
            yield

    def take(self, trial: Trial) -> None:
        """Sign it."""
        trial.set_user_attr(OWNER, self._name)

    def working(self, trial: Trial) -> AbstractContextManager[None]:
        """Nothing: a held lock says it all the time."""
        return nullcontext()

    def alive(self, trial: FrozenTrial) -> bool:
        """Whether its owner still holds a lock."""
        owner = trial.user_attrs.get(OWNER)
        if owner is None:  # whoever claims alone sees that another one died in between
            return False
        try:
            file = (self._folder / owner).open("rb")
        except FileNotFoundError:
            return False
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def close(self) -> None:
        """Let go of the lock."""
        (self._folder / self._name).unlink(missing_ok=True)
        self._presence.close()


class DatabasePlace:
    """A database that several machines write to."""

    def __init__(self, url: str) -> None:
        import sqlalchemy.exc

        try:
            self.storage: BaseStorage = RDBStorage(url)
        except (ImportError, sqlalchemy.exc.ArgumentError) as error:
            raise UsageError(f"tune.storage names no database that can be used here: {error}") from error
        except sqlalchemy.exc.SQLAlchemyError as error:
            shown = sqlalchemy.engine.make_url(url).render_as_string(hide_password=True)
            raise ServiceUnreachable(
                f"The database {shown} of tune.storage does not answer: {error}"
            ) from error
        self._seen: dict[int, tuple[int, float]] = {}

    @contextmanager
    def claiming(self) -> Iterator[None]:
        """Not alone: who was second finds out."""
        yield

    def take(self, trial: Trial) -> None:
        """Let it beat for the first time."""
        trial.set_user_attr(BEAT, 0)

    @contextmanager
    def working(self, trial: Trial) -> Iterator[None]:
        """Beat from a thread: to measure, or to fetch weights, may take longer than silence may last."""
        over = Event()

        def beat() -> None:
            count = 0
            while not over.wait(BEAT_SECONDS):
                count += 1
                # A database that is lost, or a trial that another one took over, is found by whoever works.
                with suppress(StorageInternalError, UpdateFinishedTrialError):
                    self.storage.set_trial_user_attr(trial._trial_id, BEAT, count)
                    self.storage.remove_session()

        beating = Thread(target=beat, name=f"beat of trial {trial.number}", daemon=True)
        beating.start()
        try:
            yield
        finally:
            over.set()
            beating.join()

    def alive(self, trial: FrozenTrial) -> bool:
        """Whether it beat lately, by this machine's own clock: two clocks are never compared."""
        beat, now = trial.user_attrs.get(BEAT, -1), time.monotonic()
        if self._seen.get(trial.number, (None, now))[0] != beat:
            self._seen[trial.number] = beat, now
        return now - self._seen[trial.number][1] < DEAD_SECONDS

    def close(self) -> None:
        """End the connections."""
        self.storage.remove_session()


class JournalLock(JournalFileOpenLock):
    """The right to append, held by a lock of the system; Optuna's own outlives a dead process by 30 s.

    What a writer that was killed left behind of a line is cut off before the next one is written.
    """

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal))
        self._journal = journal
        self._file: IO[bytes] | None = None

    def acquire(self) -> bool:
        """Wait until nobody else writes."""
        self._file = self._journal.with_suffix(".lock").open("ab")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        _cut_unfinished_line(self._journal)
        return True

    def release(self) -> None:
        """Let others write."""
        if self._file is not None:
            self._file.close()


def drop_damaged_end(journal: Path) -> None:
    """Remove lines at the end that are no JSON, as a machine that lost its power leaves them."""
    if not journal.exists():
        return
    data = journal.read_bytes()
    end = len(data)
    while end and not _is_entry(data[data.rfind(b"\n", 0, end - 1) + 1 : end]):
        end = data.rfind(b"\n", 0, end - 1) + 1
    if end < len(data):
        logger.warning(
            "The study's journal %s ends in %d damaged bytes, which are left out.", journal, len(data) - end
        )
        os.truncate(journal, end)


def _is_entry(line: bytes) -> bool:
    if not line.endswith(b"\n"):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _cut_unfinished_line(journal: Path) -> None:
    if not journal.exists():
        return
    with journal.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        if not size:
            return
        file.seek(size - 1)
        if file.read(1) != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def quiet() -> None:
    """Keep Optuna from writing a line a trial: progress and report say it."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
