"""Where a study is kept, and whose a running trial is."""

from __future__ import annotations

from pathlib import Path
from time import sleep
from types import SimpleNamespace
from typing import Any

import pytest

import steps.training.tuning.study_storage as storage
from materializers.errors import DamagedArtifact, ServiceUnreachable, UsageError
from steps.training.tuning.study import Study, Task, finish
from steps.training.tuning.study_storage import (
    DatabasePlace,
    JournalLock,
    Where,
    drop_damaged_end,
    open_place,
)
from tests.steps.training.examples import settings
from tests.steps.training.studies import finished, point_material, search, task


def database_task(folder: Path, trials: int = 3) -> Task:
    """A study in a database."""
    trained = settings(epochs=3, early_stopping_patience=9)
    return Task(Where("study", url=f"sqlite:///{folder / 'studies.db'}"), search(trials), trained)


def test_a_study_in_a_database_ends_like_one_in_a_journal(tmp_path: Path) -> None:
    """The same trials, wherever they are kept."""
    journal = Task(Where("study", folder=tmp_path), search(3), database_task(tmp_path).settings)
    assert finished(database_task(tmp_path)).finished() == finished(journal).finished()


def test_a_silent_trial_of_a_database_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the looker's own clock; while it beats it is left alone, and what it says too late is not heard."""
    now = [0.0]
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr(storage, "time", clock)
    one, other = Study(database_task(tmp_path, 1)), Study(database_task(tmp_path, 1))
    trial = one.claim()
    assert trial is not None
    monkeypatch.setattr(storage, "BEAT_SECONDS", 0.05)
    with one.place.working(trial):
        for _ in range(3):
            heard = beats(other)
            while beats(other) == heard:
                sleep(0.05)
            now[0] += storage.DEAD_SECONDS - 1
            assert other.claim() is None
    assert other.claim() is None  # it may have beaten once more
    now[0] += storage.DEAD_SECONDS
    again = other.claim()
    assert again is not None
    assert again.params == trial.params
    other.run(again, point_material())
    one.run(trial, point_material())
    assert [each.number for each in one.finished()] == [1]


def beats(study: Study) -> list[int]:
    """What the trials of a study said last."""
    return [each.user_attrs.get(storage.BEAT, -1) for each in study._study.get_trials()]


def test_a_database_that_is_lost_is_a_service_that_is_not_reached(tmp_path: Path) -> None:
    """One line that says what is kept, and the exit code of a service, whoever asked."""
    one = database_task(tmp_path, 1)
    study = Study(one)
    (tmp_path / "studies.db").write_bytes(b"this is no database\n" * 1000)
    with (
        pytest.raises(ServiceUnreachable, match=r"was lost .*same command again"),
        storage.answering(one.where),
    ):
        finish(study, point_material(), 1, lambda: None)


def test_of_two_on_one_place_the_second_gives_way(tmp_path: Path) -> None:
    """Two machines that begin the same place at the same moment run it once."""
    study = Study(task(tmp_path, 1))
    for _ in range(2):
        study._study.enqueue_trial({}, user_attrs={"place": 0})
    finish(study, point_material(), 1, lambda: None)
    assert study.claim() is None
    study.place.close()
    assert [each.number for each in study.finished()] == [1]


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("nodatabase", UsageError),
        ("oracle://tuner@db/optuna", UsageError),
        ("sqlite:////nowhere/at/all.db", ServiceUnreachable),
    ],
)
def test_a_database_that_cannot_be_used_is_one_clear_line(url: str, error: type[Exception]) -> None:
    """No driver is wrong use, no answer is a service that cannot be reached."""
    with pytest.raises(error, match=r"tune\.storage"):
        DatabasePlace(url)


def test_a_journal_that_is_damaged_in_its_middle_is_said_to_be(tmp_path: Path) -> None:
    """It is not guessed what stood there."""
    finished(task(tmp_path, 2))
    journal = tmp_path / "journal.log"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:3], b"garbage\n", *lines[3:]]))
    with pytest.raises(DamagedArtifact, match="cannot be read"):
        open_place(Where("study", folder=tmp_path))


def test_an_unfinished_line_is_cut_before_the_next_is_written(tmp_path: Path) -> None:
    """Whoever may write finds whole lines only."""
    journal = tmp_path / "journal.log"
    journal.write_bytes(b'{"a": 1}\n{"b": ')
    lock = JournalLock(journal)
    assert lock.acquire()
    lock.release()
    assert journal.read_bytes() == b'{"a": 1}\n'


@pytest.mark.parametrize("whole", [b"", b'{"a": 1}\n', b'{"a": 1}\n{"b": 2}\n'])
def test_a_sound_journal_stays_as_it_is(tmp_path: Path, whole: bytes, caplog: Any) -> None:
    """And nothing is said."""
    journal = tmp_path / "journal.log"
    journal.write_bytes(whole)
    drop_damaged_end(journal)
    assert journal.read_bytes() == whole
    assert not caplog.records
