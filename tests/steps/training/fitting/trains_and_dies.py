"""A training of a small model that draws at random wherever it can, and processes of it that are killed.

``python -m tests.steps.training.fitting.trains_and_dies TIMES STORE [ENDPOINT]`` begins it again and
again, with a checkpoint after every batch, and kills it each time; it prints how many kills came while it
was learning.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from zenml.artifact_stores import BaseArtifactStore

from materializers.classifier import EpochMetrics
from steps.training.fitting.checkpoints import Checkpoints
from steps.training.fitting.loop import Fit, fit, reproducible
from steps.training.inputs.examples import Rows
from steps.training.settings import Augmentation, TrainSettings
from tests.materializers.stores import disk_store, s3_store_at
from tests.steps.training.examples import settings

CLASSES, SIDE, COUNT, BATCH, EPOCHS = 3, 8, 40, 8, 4
EVERYTHING: dict[str, Any] = {
    "dropout": 0.3,
    "batch_size": BATCH,
    "epochs": EPOCHS,
    "learning_rate": 0.01,
    "mixup": 0.4,
    "class_balance": "sampling",
    "augmentation": Augmentation(saturation=0.2, hue=0.1, rand_augment=1),
    "checkpoint_seconds": 0,
}
"""Every option that draws at random."""


class SmallModel(nn.Module):
    """A convolution, batch normalisation and dropout, for pictures of 8 × 8."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(4 * (SIDE - 2) ** 2, CLASSES))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Classify pictures ``(n, 8, 8, 3)``."""
        embedding = self.backbone(images.permute(0, 3, 1, 2).to(torch.float32) / 255)
        return self.head(embedding), embedding


class Counted(Rows):
    """Rows that count the batches that were taken from them."""

    taken = 0

    def batches(self, order: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The same batches."""
        for batch in super().batches(order, size):
            self.taken += 1
            yield batch


@dataclass(frozen=True)
class Outcome:
    """What one training came to."""

    weights: str
    learnt: int
    fit: Fit
    seen: tuple[int, ...]


def pictures(count: int = COUNT) -> Counted:
    """Noise whose mean tells the class a little; the classes are not equally many."""
    generator = torch.Generator().manual_seed(1)
    labels = (torch.arange(count) % 5).clamp(max=CLASSES - 1)
    noise = torch.randint(0, 200, (count, SIDE, SIDE, 3), generator=generator)
    return Counted((noise + 25 * labels.reshape(-1, 1, 1, 1)).to(torch.uint8), labels, CLASSES)


def digest_of(model: nn.Module) -> str:
    """The sha256 of all tensors of a model, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def train(
    store: BaseArtifactStore | None,
    *,
    key: str = "key",
    on_batch: Callable[[], None] = lambda: None,
    **differences: Any,
) -> Outcome:
    """Train from the beginning, or from where a store's checkpoints end."""
    chosen: TrainSettings = settings(**(EVERYTHING | differences))
    learnt, seen = pictures(), list[int]()
    place = Checkpoints(store, key).phase("all") if store is not None else None

    def on_epoch(epoch: EpochMetrics) -> None:
        seen.append(epoch.epoch)

    with reproducible(chosen.seed, 1):
        model = SmallModel()
        result = fit(
            model,
            learnt,
            pictures(16),
            chosen,
            checkpoints=place,
            on_batch=on_batch,
            on_epoch=on_epoch,
        )
    return Outcome(digest_of(model), learnt.taken, result, tuple(seen))


def killed_in_turn(rounds: int, address: str, endpoint: str | None) -> Iterator[bool]:
    """Fork a training for each round and kill it, after one of other checkpoints that is left alone.

    A child is killed at some moment after it began to learn: its store's client alone takes a second to make.
    """
    chance, whole_s = random.Random(6), 0.0  # noqa: S311
    train(None, epochs=1)  # for what is imported on the way
    for number in range(rounds + 1):
        begun, begins = os.pipe()
        child = os.fork()
        if not child:
            store = s3_store_at(address, endpoint) if endpoint else disk_store(Path(address))

            def say() -> None:
                os.write(begins, b".")  # noqa: B023

            train(store, key="key" if number else "undisturbed", on_batch=say)
            os._exit(0)
        os.close(begins)
        os.read(begun, 1)
        began = time.monotonic()
        if number:
            time.sleep(whole_s * chance.random() / 5)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        os.close(begun)
        if number:
            yield os.WIFSIGNALED(status)
        else:
            whole_s = time.monotonic() - began


def kill_elsewhere(rounds: int, address: str, endpoint: str | None = None) -> int:
    """Run :func:`killed_in_turn` in a process of its own; how many were killed."""
    arguments = [str(rounds), address] if endpoint is None else [str(rounds), address, endpoint]
    done = subprocess.run(
        [sys.executable, "-m", "tests.steps.training.fitting.trains_and_dies", *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return sum(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    times, where, server = (*sys.argv[1:], None)[:3]
    assert times and where
    print(json.dumps(list(killed_in_turn(int(times), where, server))))  # noqa: T201
