"""What the demo's network answers to pictures that it never saw, recorded one request at a time.

It learns from half of the sample's pictures, as ``configs/demo`` says, and is asked through the predictor
that is served.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.training.labelled import Labelled, sample, split
from materializers.splits import TEST, Splits
from pipelines.config import CONFIGS, load_config
from serving.predictor import Prediction, Predictor
from steps.training.train import train_classifier

LEARNT = 1500
WARM_UP = 20
"""Requests that are not recorded: the first ones of a process are slower."""


@dataclass(frozen=True)
class Recorded:
    """The answers to n test pictures.

    Args:
        name: what a claim calls them.
        classes: the names.
        label: ``(n,)``, the number of the class that was answered.
        true: ``(n,)``, that of the picture.
        probability: ``(n,)``, of the answer.
        abstained: ``(n,)``.
        latency_ms: ``(n,)``, from the encoded picture to the answer.
    """

    name: str
    classes: tuple[str, ...]
    label: NDArray[np.int64]
    true: NDArray[np.int64]
    probability: NDArray[np.float64]
    abstained: NDArray[np.bool_]
    latency_ms: NDArray[np.float64]

    @property
    def accuracy(self) -> float:
        """The share that is right."""
        return float((self.label == self.true).mean())


def learn_from_sample(
    folder: Path, *, learnt: int = LEARNT, epochs: int | None = None
) -> tuple[Labelled, Splits]:
    """Train the demo's network and export it to ``serving/`` of a folder; the pictures and their splits.

    Args:
        folder: made where it is not there.
        learnt: pictures to learn from; half of the others are test pictures.
        epochs: None: as ``configs/demo`` has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = sample()
    # One thread: two that wait for each other on a busy machine take many times as long.
    settings = load_config(CONFIGS / "demo", ()).train.model_copy(update={"threads": 1})
    if epochs is not None:
        settings = settings.model_copy(update={"epochs": epochs})
    splits = split(data, seed=0, train=learnt)
    train_classifier(
        data.dataset,
        splits,
        list(data.classes),
        settings,
        configuration="benchmark",
        code="benchmark",
        directory=folder,
    )
    return data, splits


def record(folder: Path, *, learnt: int = LEARNT, epochs: int | None = None) -> Recorded:
    """Train, export, and ask about each test picture.

    Args:
        folder: for the exported model; made where it is not there.
        learnt: pictures to learn from; half of the others are asked about.
        epochs: None: as ``configs/demo`` has it.
    """
    data, splits = learn_from_sample(folder, learnt=learnt, epochs=epochs)
    members = splits.members[splits.members["split"] == TEST]
    predictor = Predictor.load(folder / "serving")
    pictures = data.dataset.pictures(members["image_id"].tolist())
    for picture in pictures[:WARM_UP]:
        predictor.predict([picture])
    given, latencies = [], []
    for picture in pictures:
        began = time.perf_counter()
        (answer,) = predictor.predict([picture])
        latencies.append(1000 * (time.perf_counter() - began))
        if not isinstance(answer, Prediction):
            raise TypeError(f"A picture of the sample could not be used: {answer.message}")
        given.append(answer)
    numbers = {name: number for number, name in enumerate(data.classes)}
    return Recorded(
        name=f"{len(given):,} test {data.name.partition(' ')[2].partition(',')[0]}",
        classes=data.classes,
        label=np.array([numbers[answer.label] for answer in given]),
        true=np.array([numbers[str(label)] for label in members["label"]]),
        probability=np.array([answer.probability for answer in given]),
        abstained=np.array([answer.abstained for answer in given]),
        latency_ms=np.array(latencies),
    )
