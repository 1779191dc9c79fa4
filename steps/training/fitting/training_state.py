"""All that the rest of a training depends on, and how it is written down and taken up again.

What a killed training ends with is what it would have ended with, byte for byte: weights, optimizer,
scheduler, the order of the epoch that goes on, and every state that chance is drawn from.
"""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau

from materializers.classifier import EpochMetrics
from steps.training.fitting.chance import epoch_order
from steps.training.fitting.checkpoints import Progress
from steps.training.fitting.learning import not_finite, not_learning
from steps.training.fitting.measuring import Tally, epoch_metrics

if TYPE_CHECKING:
    from steps.training.fitting.checkpoints import Checkpoint, PhaseCheckpoints
    from steps.training.inputs.examples import Examples
    from steps.training.settings import TrainSettings

logger = logging.getLogger("shutterline")


class TrainingState:
    """A training that goes on.

    Attributes:
        model: learns.
        learning: its parameters that do.
        optimizer: changes them.
        generator: of the CPU; all chance but dropout's comes from it.
        order: of the epoch that goes on, int64; empty between epochs.
        batches: how many of them are learnt.
        steps: how many of all epochs are.
        tally: what those of the epoch measured.
        epochs: what each measured that is over.
        best_epoch: the first is 1; 0: none yet.
        failure: why the training was given up.
    """

    def __init__(self, model: nn.Module, settings: TrainSettings, classes: int) -> None:
        """Begin with the model's weights as they are."""
        self.model, self._settings, self._classes = model, settings, classes
        self.learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
        kind = {"adam": Adam, "adamw": AdamW}[settings.optimizer]
        self.optimizer: Optimizer = kind(
            self.learning, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self._scheduler = _scheduler(self.optimizer, settings)
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.order = torch.empty(0, dtype=torch.int64)
        self.batches, self.steps, self.tally = 0, 0, Tally.of_none(classes)
        self.epochs: list[EpochMetrics] = []
        self.best_epoch, self._best_score = 0, (-1.0, 0.0)
        self.failure: str | None = None
        self._best = _copied(_changing(model))

    @property
    def epoch(self) -> int:
        """The number of the epoch that goes on; the first is 1."""
        return len(self.epochs) + 1

    @property
    def learning_rate(self) -> float:
        """Of the epoch that goes on."""
        rate: float = self.optimizer.param_groups[0]["lr"]
        return rate

    @property
    def over(self) -> bool:
        """Whether all epochs are done, validation accuracy stopped growing, or nothing is learnt."""
        done = len(self.epochs)
        patience = self._settings.early_stopping_patience
        return bool(self.failure) or done >= self._settings.epochs or done - self.best_epoch >= patience

    def begin_epoch(self, train: Examples, *, at_least: int) -> None:
        """Draw the order of the next epoch, unless one goes on.

        Args:
            train: what is learnt from.
            at_least: examples that the last batch must have, or it is left out.
        """
        if len(self.order):
            return
        order = epoch_order(train, self.generator, balanced=self._settings.class_balance == "sampling")
        if len(order) % self._settings.batch_size < at_least:
            order = order[: len(order) - len(order) % self._settings.batch_size]
        self.order, self.batches, self.tally = order, 0, Tally.of_none(self._classes)

    def end_batch(self, tally: Tally) -> None:
        """Count one batch, by what it measured."""
        self.tally.add(tally)
        self.batches += 1
        self.steps += 1

    def end_epoch(self, checked: Tally) -> None:
        """Keep what the epoch measured, and its weights where it is the best so far."""
        if not math.isfinite(checked.loss):
            self.failure = not_finite(self.epoch, "validation loss", checked.loss, self.learning_rate)
            return
        number, score = self.epoch, (checked.accuracy, -checked.loss)
        self.epochs.append(epoch_metrics(number, self.learning_rate, self.tally, checked))
        self.order, self.batches = self.order[:0], 0
        if score > self._best_score:
            self.best_epoch, self._best_score = number, score
            self._best = _copied(_changing(self.model))
        if isinstance(self._scheduler, ReduceLROnPlateau):
            self._scheduler.step(checked.loss)
        else:
            self._scheduler.step()
        self.failure = not_learning(self.epochs, self._settings, self._classes)

    def keep_best(self) -> None:
        """Give the model the best epoch's weights; those that it began with where there was none."""
        self.model.load_state_dict(self._best, strict=False)

    def progress(self) -> Progress:
        """What is written down as JSON."""
        return Progress(
            over=self.over,
            epochs=tuple(self.epochs),
            best_epoch=self.best_epoch,
            best_score=self._best_score,
            failure=self.failure,
            learning_rate=self.learning_rate,
            scheduler={
                name: value
                for name, value in self._scheduler.state_dict().items()
                if isinstance(value, bool | int | float | list)
            },
            batches=self.batches,
            steps=self.steps,
            loss_sum=self.tally.loss_sum,
        )

    def tensors(self) -> dict[str, Tensor]:
        """What is written down as safetensors; a frozen parameter is not, for it is what it was."""
        found = {
            "order": self.order,
            "confusion": self.tally.confusion,
            "random.generator": self.generator.get_state(),
            "random.cpu": torch.get_rng_state(),
        }
        if torch.cuda.is_available():
            for device, state in enumerate(torch.cuda.get_rng_state_all()):
                found[f"random.cuda.{device}"] = state
        found |= {f"model.{name}": tensor for name, tensor in _changing(self.model).items()}
        found |= {f"best.{name}": tensor for name, tensor in self._best.items()}
        for number, parameter in enumerate(self.learning):
            for name, value in self.optimizer.state[parameter].items():
                found[f"optimizer.{number}.{name}"] = value
        return found

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take a training up where it was written down."""
        progress, tensors = checkpoint.progress, checkpoint.tensors
        self.epochs, self.failure = list(progress.epochs), progress.failure
        self.best_epoch, self._best_score = progress.best_epoch, progress.best_score
        self.batches, self.steps, self.order = progress.batches, progress.steps, tensors["order"]
        self.tally = Tally(tensors["confusion"], progress.loss_sum)
        self._scheduler.load_state_dict(dict(progress.scheduler))
        self.optimizer.param_groups[0]["lr"] = progress.learning_rate
        self.model.load_state_dict(_below("model.", tensors), strict=False)
        for name, tensor in _below("best.", tensors).items():
            self._best[name].copy_(tensor)
        for number, parameter in enumerate(self.learning):
            self.optimizer.state[parameter] = {
                name: _laid_out_as(parameter, value)
                for name, value in _below(f"optimizer.{number}.", tensors).items()
            }
        self.generator.set_state(tensors["random.generator"])
        torch.set_rng_state(tensors["random.cpu"])
        if torch.cuda.is_available():
            for device, state in _below("random.cuda.", tensors).items():
                if int(device) < torch.cuda.device_count():
                    torch.cuda.set_rng_state(state, int(device))


class Keeper:
    """Writes a training down when its time has come, and at its end.

    Not at every epoch's: those of a head on features take less time than that.
    """

    def __init__(
        self,
        state: TrainingState,
        checkpoints: PhaseCheckpoints | None,
        seconds: float,
        *,
        writes: bool = True,
    ) -> None:
        """Take the training up where one was written down.

        Args:
            state: of the training.
            checkpoints: where; None: nowhere.
            seconds: how long it goes on before it is written down again.
            writes: whether this process does; others of its team only take up what it wrote.
        """
        self._state, self._checkpoints, self._seconds = state, checkpoints, seconds
        self._number: int | None = None
        self._written = time.monotonic()
        if checkpoints is not None and (found := checkpoints.read()) is not None:
            self._number = found.number
            state.restore(found)
            if writes:
                batch = f", batch {state.batches}" if state.batches else ""
                logger.info("train: goes on after epoch %d%s", len(state.epochs), batch)
        if not writes:
            self._checkpoints = None

    def when_due(self) -> None:
        """Write it down where the last time is long enough ago."""
        if self._checkpoints is not None and time.monotonic() - self._written >= self._seconds:
            self.now()

    def now(self) -> None:
        """Write it down.

        Raises:
            NoRoom: the disk is full; the checkpoint before is as it was.
            ServiceUnreachable: the store cannot be written.
        """
        if self._checkpoints is not None:
            state = self._state
            self._number = self._checkpoints.write(state.progress(), state.tensors(), before=self._number)
            self._written = time.monotonic()


def _scheduler(optimizer: Optimizer, settings: TrainSettings) -> ReduceLROnPlateau | CosineAnnealingLR:
    """Both change the rate between epochs: the last one of a cosine still learns."""
    if settings.schedule == "cosine":
        return CosineAnnealingLR(optimizer, T_max=settings.epochs)
    return ReduceLROnPlateau(optimizer, patience=settings.plateau_patience, factor=settings.plateau_factor)


def _changing(model: nn.Module) -> dict[str, Tensor]:
    """What training changes: parameters that learn, and statistics."""
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    return {name: tensor for name, tensor in model.state_dict().items() if name not in frozen}


def _copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """An optimizer's value where its parameter is, and in its order: another one rounds differently.

    A step count, which has no shape, stays on the CPU.
    """
    return torch.empty_like(parameter).copy_(value).detach() if value.dim() else value
