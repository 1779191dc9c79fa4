"""Several processes on one study."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from pathlib import Path

import pytest
import torch

from steps.training.inputs.examples import Part, Rows
from steps.training.material import Material
from steps.training.tuning import study_workers
from steps.training.tuning.study import Study
from steps.training.tuning.study_workers import received, run_study, shared
from tests.steps.training.studies import new_points, point_material, task


def test_two_processes_run_as_many_trials_as_asked_for(tmp_path: Path) -> None:
    """Each trial once, and whoever waits is told as they end."""
    seen: list[int] = []
    study = run_study(
        task(tmp_path, 6, processes=2), point_material(), lambda one: seen.append(len(one.finished()))
    )
    study.place.close()
    assert [trial.number for trial in study.finished()] == [1, 2, 3, 4, 5, 6]
    assert seen == sorted(seen)
    owners = {trial.user_attrs.get("owner") for trial in study._study.get_trials()}
    assert None not in owners


def test_whatever_ends_a_study_nothing_of_its_pictures_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file of the folder for temporary files has a name while processes read them: a kill leaves none."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    looks: list[int] = []
    named: set[Path] = set()

    def look(study: Study) -> None:
        if multiprocessing.active_children():
            looks.append(len(study.finished()))
            named.update((tmp_path / "temporary").rglob("*"))

    study = run_study(task(tmp_path, 4, processes=2), point_material(0.005), look)
    study.place.close()
    assert looks
    assert not named


def test_a_process_that_is_killed_loses_no_trial(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The other one, or this one, runs what it had not finished, and it is said."""
    killed: list[int] = []

    def kill(study: Study) -> None:
        workers = [each.pid for each in multiprocessing.active_children()]
        if workers and not killed and study.finished():
            killed.extend([pid for pid in workers if pid is not None][:1])
            os.kill(killed[0], signal.SIGKILL)

    study = run_study(task(tmp_path, 8, processes=2), point_material(0.01), kill)
    study.place.close()
    assert killed
    assert [trial.number for trial in study.finished()] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert "processes of the study were ended" in caplog.text


def test_one_process_is_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other is started, and nothing is written for it."""
    monkeypatch.setattr(study_workers, "_run_workers", None)
    monkeypatch.setattr(study_workers, "shared", None)
    study = run_study(task(tmp_path, 2), point_material(), lambda study: None)
    study.place.close()
    assert len(study.finished()) == 2


@pytest.mark.parametrize(
    "inputs", [torch.randn(700, 5), torch.randint(0, 255, (700, 4, 4, 3)).to(torch.uint8)]
)
def test_inputs_reach_the_others_as_they_are(inputs: torch.Tensor) -> None:
    """Features and pictures, also a part of them, to the bit; they are in a file on disk."""
    positions = torch.arange(699, -1, -1)
    everything = Rows(inputs, torch.arange(700) % 3, 3)
    given = Material(
        Part(everything, positions[:600]), Part(everything, positions[600:]), new_points, everything
    )
    handed = shared(given)
    train, validation = received(handed, 3)
    handed.close()
    assert torch.equal(torch.cat([train.inputs, validation.inputs]), inputs.flip(0))
    assert torch.equal(torch.cat([train.labels, validation.labels]), everything.labels.flip(0))
    assert (len(train), train.classes, validation.classes) == (600, 3, 3)
