"""The training loop: Adam, a lower learning rate on a plateau, early stopping, the best epoch's weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from materializers.classifier import EpochMetrics
from steps.training.augment import augment

if TYPE_CHECKING:
    from steps.training.checkpoints import PhaseCheckpoints
    from steps.training.examples import Examples
    from steps.training.settings import TrainSettings

PICTURES_DIMENSIONS = 4


@dataclass(frozen=True)
class Fit:
    """What training measured; the model then holds the weights of the best epoch.

    Attributes:
        epochs: what each measured.
        best_epoch: the first is 1; 0: there was none, and the model has the weights that it began with.
        failure: why the training was given up, in one sentence; None: it was not.
    """

    epochs: tuple[EpochMetrics, ...]
    best_epoch: int
    failure: str | None = None


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
    model: nn.Module,
    train: Examples,
    validation: Examples,
    settings: TrainSettings,
    *,
    checkpoints: PhaseCheckpoints | None = None,
    on_batch: Callable[[], None] = lambda: None,
    on_epoch: Callable[[EpochMetrics], None] = lambda epoch: None,
) -> Fit:
    """Train until the epochs are over or validation accuracy stopped growing.

    The best epoch is the one with the highest validation accuracy, the lower loss among equals.

    Args:
        model: inputs to logits ``(n, classes)`` and embedding ``(n, features)``.
        train: what is learnt from; pictures, ``(n, height, width, 3)`` uint8, are augmented.
        validation: what chooses the epoch.
        settings: how.
        checkpoints: where the training is written down; None: nowhere.
        on_batch: called after each batch.
        on_epoch: called after each epoch; what it raises ends the training.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=settings.learning_rate)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, patience=settings.plateau_patience, factor=settings.plateau_factor
    )
    epochs: list[EpochMetrics] = []
    failure = None
    best_state = copy.deepcopy(model.state_dict())
    best, best_epoch = (-1.0, 0.0), 0
    for number in range(1, settings.epochs + 1):
        rate: float = optimizer.param_groups[0]["lr"]
        trained = _train_epoch(model, train, optimizer, settings, generator, on_batch)
        checked = measure(model, validation, settings.batch_size)
        if not math.isfinite(trained.loss) or not math.isfinite(checked.loss):
            failure = (
                f"Epoch {number}: the training loss is {trained.loss}, the validation loss {checked.loss}, "
                f"at learning rate {rate:g}. Lower it: --set train.learning_rate={rate / 10:g}"
            )
            break
        plateau.step(checked.loss)
        epochs.append(_epoch_metrics(number, rate, trained, checked))
        on_epoch(epochs[-1])
        if (checked.accuracy, -checked.loss) > best:
            best, best_epoch = (checked.accuracy, -checked.loss), number
            best_state = copy.deepcopy(model.state_dict())
        elif number - best_epoch >= settings.early_stopping_patience:
            break
    model.load_state_dict(best_state)
    return Fit(tuple(epochs), best_epoch, failure)


@dataclass
class Tally:
    """Loss and confusion over some examples; in ``confusion`` a row is a true class."""

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
        """The mean loss of an example."""
        return self.loss_sum / max(1, int(self.confusion.sum()))

    @property
    def accuracy(self) -> float:
        """The share of examples that were right."""
        return float(self.confusion.diagonal().sum()) / max(1, int(self.confusion.sum()))

    def macro(self) -> tuple[float, float, float]:
        """Precision, recall and F1, the mean over the classes; what is not defined counts as 0."""
        right = self.confusion.diagonal().to(torch.float64)
        predicted, true = self.confusion.sum(dim=0), self.confusion.sum(dim=1)
        precision, recall = right / predicted.clamp(min=1), right / true.clamp(min=1)
        f1_score = 2 * right / (predicted + true).clamp(min=1)
        return float(precision.mean()), float(recall.mean()), float(f1_score.mean())


def measure(model: nn.Module, examples: Examples, batch_size: int) -> Tally:
    """Loss and confusion of the model as it will be served: nothing dropped, nothing augmented."""
    tally = Tally(torch.zeros(examples.classes, examples.classes, dtype=torch.int64))
    device = next(model.parameters()).device
    model.eval()
    with torch.inference_mode():
        for inputs, labels in examples.batches(torch.arange(len(examples)), batch_size):
            logits, _ = model(inputs.to(device))
            tally.add(functional.cross_entropy(logits, labels.to(device)).item(), logits, labels)
    return tally


def _train_epoch(
    model: nn.Module,
    examples: Examples,
    optimizer: torch.optim.Optimizer,
    settings: TrainSettings,
    generator: torch.Generator,
    on_batch: Callable[[], None],
) -> Tally:
    tally = Tally(torch.zeros(examples.classes, examples.classes, dtype=torch.int64))
    device = next(model.parameters()).device
    model.train()
    order = torch.randperm(len(examples), generator=generator)
    if len(order) % settings.batch_size == 1 and _normalises_batches(model):
        order = order[:-1]  # batch normalisation cannot learn from a batch of one
    for inputs, labels in examples.batches(order, settings.batch_size):
        logits, _ = model(_varied(inputs.to(device), settings, generator))
        loss = functional.cross_entropy(logits, labels.to(device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        tally.add(loss.item(), logits, labels)
        on_batch()
    return tally


def _varied(inputs: Tensor, settings: TrainSettings, generator: torch.Generator) -> Tensor:
    """Pictures are augmented; features are those of pictures as they came."""
    if inputs.dim() == PICTURES_DIMENSIONS and inputs.dtype == torch.uint8:
        return augment(inputs, settings.augmentation, generator)
    return inputs


def _normalises_batches(model: nn.Module) -> bool:
    return any(
        isinstance(each, nn.modules.batchnorm._BatchNorm) and each.training for each in model.modules()
    )


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
