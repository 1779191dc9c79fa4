"""The training loop: Adam, a lower learning rate on a plateau, early stopping, the best epoch's weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from materializers.classifier import EpochMetrics
from materializers.errors import ShutterlineError
from steps.training.augment import augment

if TYPE_CHECKING:
    from steps.training.batches import Pictures
    from steps.training.networks import Network
    from steps.training.settings import TrainSettings


class TrainingDiverged(ShutterlineError):
    """The loss is no number any more."""


@dataclass(frozen=True)
class Fit:
    """What training measured; the network then holds the weights of ``best_epoch`` (the first is 1)."""

    epochs: tuple[EpochMetrics, ...]
    best_epoch: int


@contextmanager
def reproducible(seed: int, threads: int) -> Iterator[None]:
    """Seed torch, fix its threads and allow only deterministic operations; afterwards all is as it was.

    The same seed with another number of threads gives other weights.
    """
    before = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("error")  # `use_deterministic_algorithms` imports the compiler, 4 s
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_deterministic_debug_mode(before[1])


def fit(
    network: Network,
    train: Pictures,
    validation: Pictures,
    settings: TrainSettings,
    *,
    on_batch: Callable[[], None] = lambda: None,
    on_epoch: Callable[[EpochMetrics], None] = lambda epoch: None,
) -> Fit:
    """Train until the epochs are over or validation accuracy stopped growing.

    The best epoch is the one with the highest validation accuracy, the lower loss among equals.

    Raises:
        TrainingDiverged: the loss is not finite.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=settings.learning_rate)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, patience=settings.plateau_patience, factor=settings.plateau_factor
    )
    epochs: list[EpochMetrics] = []
    best_state = network.state_dict()
    best, best_epoch = (-1.0, 0.0), 0
    for number in range(1, settings.epochs + 1):
        rate: float = optimizer.param_groups[0]["lr"]
        trained = _train_epoch(network, train, optimizer, settings, generator, on_batch)
        checked = measure(network, validation, settings.batch_size)
        if not math.isfinite(trained.loss) or not math.isfinite(checked.loss):
            raise TrainingDiverged(
                f"Epoch {number}: the training loss is {trained.loss}, the validation loss {checked.loss}, "
                f"at learning rate {rate:g}. Lower it: --set train.learning_rate={rate / 10:g}"
            )
        plateau.step(checked.loss)
        epochs.append(_epoch_metrics(number, rate, trained, checked))
        on_epoch(epochs[-1])
        if (checked.accuracy, -checked.loss) > best:
            best, best_epoch = (checked.accuracy, -checked.loss), number
            best_state = copy.deepcopy(network.state_dict())
        elif number - best_epoch >= settings.early_stopping_patience:
            break
    network.load_state_dict(best_state)
    return Fit(tuple(epochs), best_epoch)


@dataclass
class Tally:
    """Loss and confusion over some pictures; in ``confusion`` a row is a true class."""

    confusion: Tensor
    loss_sum: float = 0.0

    def add(self, loss: float, logits: Tensor, labels: Tensor) -> None:
        """Count one batch."""
        k = len(self.confusion)
        cells = labels * k + logits.detach().argmax(dim=1).cpu()
        self.confusion += torch.bincount(cells, minlength=k * k).reshape(k, k)
        self.loss_sum += loss * len(labels)

    @property
    def loss(self) -> float:
        """The mean loss of a picture."""
        return self.loss_sum / max(1, int(self.confusion.sum()))

    @property
    def accuracy(self) -> float:
        """The share of pictures that were right."""
        return float(self.confusion.diagonal().sum()) / max(1, int(self.confusion.sum()))

    def macro(self) -> tuple[float, float, float]:
        """Precision, recall and F1, the mean over the classes; what is not defined counts as 0."""
        right = self.confusion.diagonal().to(torch.float64)
        predicted, true = self.confusion.sum(dim=0), self.confusion.sum(dim=1)
        precision, recall = right / predicted.clamp(min=1), right / true.clamp(min=1)
        f1_score = 2 * right / (predicted + true).clamp(min=1)
        return float(precision.mean()), float(recall.mean()), float(f1_score.mean())


def measure(network: Network, pictures: Pictures, batch_size: int) -> Tally:
    """Loss and confusion of the network as it will be served: nothing dropped, nothing augmented."""
    tally = Tally(torch.zeros(pictures.classes, pictures.classes, dtype=torch.int64))
    device = next(network.parameters()).device
    network.eval()
    with torch.inference_mode():
        for images, labels in pictures.batches(torch.arange(len(pictures)), batch_size):
            logits, _ = network(images.to(device))
            tally.add(functional.cross_entropy(logits, labels.to(device)).item(), logits, labels)
    return tally


def _train_epoch(
    network: Network,
    pictures: Pictures,
    optimizer: torch.optim.Optimizer,
    settings: TrainSettings,
    generator: torch.Generator,
    on_batch: Callable[[], None],
) -> Tally:
    tally = Tally(torch.zeros(pictures.classes, pictures.classes, dtype=torch.int64))
    device = next(network.parameters()).device
    order = torch.randperm(len(pictures), generator=generator)
    if len(order) % settings.batch_size == 1:
        order = order[:-1]  # batch normalisation cannot learn from a batch of one
    network.train()
    for images, labels in pictures.batches(order, settings.batch_size):
        logits, _ = network(augment(images.to(device), settings.augmentation, generator))
        loss = functional.cross_entropy(logits, labels.to(device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        tally.add(loss.item(), logits, labels)
        on_batch()
    return tally


def _epoch_metrics(number: int, rate: float, trained: Tally, checked: Tally) -> EpochMetrics:
    precision, recall, f1_score = checked.macro()
    return EpochMetrics(
        epoch=number,
        learning_rate=rate,
        loss=trained.loss,
        accuracy=trained.accuracy,
        val_loss=checked.loss,
        val_accuracy=checked.accuracy,
        precision=precision,
        recall=recall,
        f1_score=f1_score,
    )
