"""Several processes on one study."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from steps.training.inputs.examples import Part, Rows
from steps.training.tuning import study_workers
from steps.training.tuning.study import Study
from steps.training.tuning.study_workers import run_study, store, stored
from tests.steps.training.studies import point_material, task


def test_two_processes_run_as_many_trials_as_asked_for(tmp_path: Path) -> None:
    """Each trial once, and whoever waits is told as they end; the folder of the inputs is gone afterwards."""
    seen: list[int] = []
    study = run_study(
        task(tmp_path, 6, processes=2), point_material(), lambda one: seen.append(len(one.finished()))
    )
    study.place.close()
    assert [trial.number for trial in study.finished()] == [1, 2, 3, 4, 5, 6]
    assert seen == sorted(seen)
    owners = {trial.user_attrs.get("owner") for trial in study._study.get_trials()}
    assert None not in owners


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
    monkeypatch.setattr(study_workers, "store", None)
    study = run_study(task(tmp_path, 2), point_material(), lambda study: None)
    study.place.close()
    assert len(study.finished()) == 2


@pytest.mark.parametrize(
    "inputs", [torch.randn(700, 5), torch.randint(0, 255, (700, 4, 4, 3)).to(torch.uint8)]
)
def test_inputs_reach_the_others_as_they_are(tmp_path: Path, inputs: torch.Tensor) -> None:
    """Features and pictures, also a part of them, to the bit."""
    positions = torch.arange(699, -1, -1)
    labels = torch.arange(700) % 3
    store(Part(Rows(inputs, labels, 3), positions), tmp_path / "train")
    found = stored(tmp_path / "train", 3)
    assert torch.equal(found.inputs, inputs.flip(0))
    assert torch.equal(found.labels, labels.flip(0))
    assert found.classes == 3
    assert isinstance(np.load(tmp_path / "train" / "inputs.npy", allow_pickle=False), np.ndarray)
