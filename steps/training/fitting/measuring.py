"""What a model's answers come to: loss, accuracy, and precision, recall and F1 over the classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from materializers.classifier import EpochMetrics
from steps.training.processes.team import ALONE

if TYPE_CHECKING:
    from steps.training.inputs.examples import Examples
    from steps.training.processes.team import Team


@dataclass
class Tally:
    """Loss and confusion over some examples.

    Attributes:
        confusion: ``(classes, classes)`` int64; a row is a true class.
        loss_sum: of all examples.
    """

    confusion: Tensor
    loss_sum: float = 0.0

    @classmethod
    def of_none(cls, classes: int) -> Tally:
        """Nothing counted yet."""
        return cls(torch.zeros(classes, classes, dtype=torch.int64))

    @classmethod
    def of_batch(cls, loss: float, logits: Tensor, labels: Tensor) -> Tally:
        """One batch: its mean loss, logits ``(n, classes)``, labels ``(n,)`` int64 of a CPU."""
        k = logits.shape[1]
        cells = labels * k + logits.detach().argmax(dim=1).cpu()
        return cls(torch.bincount(cells, minlength=k * k).reshape(k, k), loss * len(labels))

    def add(self, other: Tally) -> None:
        """Count another one's examples too."""
        self.confusion += other.confusion
        self.loss_sum += other.loss_sum

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


def epoch_metrics(number: int, rate: float, trained: Tally, checked: Tally) -> EpochMetrics:
    """What one epoch measured.

    Args:
        number: of the epoch, from 1.
        rate: the learning rate.
        trained: what the model answered while it learnt.
        checked: what it answered on validation examples afterwards.
    """
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


def measure(model: nn.Module, examples: Examples, batch_size: int, team: Team = ALONE) -> Tally:
    """Loss and confusion of the model as it will be served: nothing dropped, nothing augmented, float32.

    Each process of a team measures its share; all of them get the sum.
    """
    tally = Tally.of_none(examples.classes)
    device = next(model.parameters()).device
    model.eval()
    with torch.inference_mode():
        for inputs, labels in examples.batches(team.share(torch.arange(len(examples))), batch_size):
            logits, _ = model(inputs.to(device))
            loss = functional.cross_entropy(logits, labels.to(device)).item()
            tally.add(Tally.of_batch(loss, logits, labels))
    return team.total(tally)
