"""Studies whose trainings take milliseconds: a linear layer on a few noisy points."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from steps.training.inputs.examples import Rows
from steps.training.material import Material
from steps.training.settings import TrainSettings
from steps.training.tuning.search import Choices, Range, TuneSettings
from steps.training.tuning.study import Study, Task, finish
from steps.training.tuning.study_storage import Where
from tests.steps.training.examples import settings

FEATURES, CLASSES = 4, 3
LONGEST_RUN = 6000
"""Bytes of a journal until its process is killed: about two trials."""
SPACE = {
    "learning_rate": Range(low=0.0001, high=0.1, log=True),
    "batch_size": Choices(choices=(8, 16, 32)),
    "dropout": Range(low=0.1, high=0.5),
}


class Points(nn.Module):
    """A head as small as can be; ``seconds`` are what a pass takes longer."""

    def __init__(self, dropout: float, seconds: float = 0.0) -> None:
        super().__init__()
        self.seconds = seconds
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(FEATURES, CLASSES))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        time.sleep(self.seconds)
        return self.head(features), features


def new_points(settings: TrainSettings, seconds: float = 0.0) -> nn.Module:
    """What ``Material.new_model`` gives."""
    return Points(settings.dropout, seconds)


def points(n: int, seed: int) -> Rows:
    """Noisy points around the corners of a cube, one corner a class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % CLASSES
    inputs = torch.randn(n, FEATURES, generator=generator)
    inputs[torch.arange(n), labels] += 1.5
    return Rows(inputs, labels, CLASSES)


def point_material(seconds: float = 0.0, *, train: int = 90, validation: int = 60) -> Material:
    """Points to learn from."""
    learnt, checked = points(train, 0), points(validation, 1)
    everything = Rows(
        torch.cat([learnt.inputs, checked.inputs]), torch.cat([learnt.labels, checked.labels]), CLASSES
    )
    return Material(learnt, checked, partial(new_points, seconds=seconds), everything)


def search(trials: int = 8, **differences: Any) -> TuneSettings:
    """A small search."""
    return TuneSettings.model_validate({"trials": trials, "search_space": SPACE, **differences})


def task(folder: Path, trials: int = 8, **differences: Any) -> Task:
    """A study in a folder."""
    trained = settings(epochs=differences.pop("epochs", 9), early_stopping_patience=9)
    return Task(Where("study", folder=folder), search(trials, **differences), trained)


def finished(of: Task, seconds: float = 0.0) -> Study:
    """A study that was run to its end in this process, and closed."""
    study = Study(of)
    finish(study, point_material(seconds), of.search.trials, lambda: None)
    study.place.close()
    return study


def kill_while_running(folder: Path, trials: int, kills: int) -> None:
    """Run one study again and again, each time in a process that is killed at a random moment.

    The moment is a random number of bytes of the journal, so that a fast machine is not done before. The
    processes are forked, after torch has loaded all that it loads late: a start costs seconds.
    """
    journal = folder / "study" / "journal.log"
    journal.parent.mkdir()
    journal.touch()
    finished(task(folder / "warm", 1))
    rng = random.Random(0)  # noqa: S311 - moments, not secrets
    for _ in range(kills):
        child = os.fork()
        if not child:
            finished(task(folder / "study", trials), seconds=0.001)
            os._exit(0)
        size = journal.stat().st_size + rng.randint(1, LONGEST_RUN)
        while journal.stat().st_size < size:
            time.sleep(0.0005)
        time.sleep(rng.uniform(0, 0.01))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


if __name__ == "__main__":
    kill_while_running(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
