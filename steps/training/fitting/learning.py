"""When a training is given up, and what is refused before it begins."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import torch

from materializers.errors import UsageError

if TYPE_CHECKING:
    from materializers.classifier import EpochMetrics
    from steps.training.inputs.examples import Examples
    from steps.training.settings import TrainSettings

logger = logging.getLogger("shutterline")

SMALLEST_BATCH = 2
"""What ``train.batch_size`` may be at least."""
NO_MEMORY = ("can't allocate memory", "out of memory")
"""What torch's errors say where it has no class for them: of a CPU's memory, and of some kernels of a GPU."""


def not_finite(epoch: int, what: str, loss: float, rate: float) -> str:
    """Why a training is given up whose loss is no number any more."""
    return f"epoch {epoch}: the {what} is {loss} at learning rate {rate:g}; {_lower(rate)}"


def not_learning(epochs: Sequence[EpochMetrics], settings: TrainSettings, classes: int) -> str | None:
    """Why a training is given up after the last of these epochs, or None where it goes on.

    Args:
        epochs: what each measured so far, one at least.
        settings: ``learning`` says when.
        classes: how many there are; guessing is right once in as many, at a loss of its logarithm.
    """
    last, learning, classes = epochs[-1], settings.learning, max(2, classes)
    limit = learning.loss_limit * math.log(classes)
    if last.loss > limit:
        return (
            f"epoch {last.epoch}: the training loss is {last.loss:.4g}, above {limit:.4g}, "
            f"{learning.loss_limit:g} times that of guessing one of {classes} classes, at learning rate "
            f"{last.learning_rate:g}; {_lower(last.learning_rate)}"
        )
    best = max(epoch.val_accuracy for epoch in epochs)
    needed = max(learning.times_chance / classes, learning.floor)
    if last.epoch >= learning.after_epochs and best < needed:
        return (
            f"after epoch {last.epoch} the best validation accuracy is {best:.4f}, below {needed:.4f}, "
            f"the larger of {learning.floor:g} and {learning.times_chance:g} times that of guessing one of "
            f"{classes} classes; look at the labels, try another learning rate than "
            f"{settings.learning_rate:g}, --set train.learning_rate=RATE, or give it longer: --set "
            f"train.learning.after_epochs={2 * learning.after_epochs}"
        )
    return None


def _lower(rate: float) -> str:
    return f"lower it: --set train.learning_rate={rate / 10:g}"


def check_batch_size(train: Examples, settings: TrainSettings) -> None:
    """Refuse batches that the training pictures do not fill.

    Raises:
        UsageError: there are fewer than one batch has.
    """
    if settings.batch_size > len(train):
        fits = max(SMALLEST_BATCH, 2 ** (len(train).bit_length() - 1))
        raise UsageError(
            f"train.batch_size is {settings.batch_size:,}, and there are {len(train):,} pictures to learn "
            f"from: not one batch is full. Make it smaller: --set train.batch_size={fits}"
        )


def warn_of_missing(validation: Examples, names: Sequence[str]) -> None:
    """Say which classes no validation picture shows: the epoch is then chosen by the others alone.

    Accuracy is defined without them, so the training goes on; whether every split has every class is a check
    of the step ``split``, which refuses where it is not told otherwise.

    Args:
        validation: what chooses the epoch.
        names: of the classes, by number.
    """
    counts = torch.bincount(validation.labels, minlength=len(names)).tolist()
    if missing := [name for name, count in zip(names, counts, strict=True) if not count]:
        logger.warning(
            "No validation picture shows %s: the best epoch is chosen by the other classes alone.",
            ", ".join(missing),
        )


def enough_memory(batch_size: int) -> AbstractContextManager[None]:
    """Say what to do where a batch needs more memory than there is.

    Raises:
        UsageError: there was too little.
    """
    mend = (
        f"Halve the batch: --set train.batch_size={batch_size // 2}"
        if batch_size >= 2 * SMALLEST_BATCH
        else "The network needs a machine with more: a smaller train.architecture or picture needs less"
    )
    return memory_for(f"to train with train.batch_size={batch_size}", mend)


@contextmanager
def memory_for(what: str, mend: str) -> Iterator[None]:
    """Refuse, in one line, what needs more memory than there is.

    Args:
        what: there is no memory for, as in ``for …`` or ``to …``.
        mend: what to do, a sentence without its end.

    Raises:
        UsageError: there was too little.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        lack = lack_of_memory(error)
        if lack is None:
            raise
        raise UsageError(f"There is no memory {what} ({lack}). {mend}") from error


def lack_of_memory(error: MemoryError | RuntimeError) -> str | None:
    """What an error says of memory that there is too little of, in one line; None: nothing."""
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    if not known and not any(said in str(error) for said in NO_MEMORY):
        return None
    return str(error).splitlines()[0] if str(error) else type(error).__name__
