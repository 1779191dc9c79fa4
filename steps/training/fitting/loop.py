"""The training loop, in plain PyTorch: learn batch by batch, measure each epoch, keep the best one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from materializers.classifier import EpochMetrics
from steps.training.fitting.chance import class_weights, mix
from steps.training.fitting.learning import check_batch_size, enough_memory, not_finite
from steps.training.fitting.measuring import Tally, measure
from steps.training.fitting.training_state import Keeper, TrainingState
from steps.training.inputs.augment import augment
from steps.training.processes.team import ALONE, Team

if TYPE_CHECKING:
    from steps.training.fitting.checkpoints import PhaseCheckpoints
    from steps.training.inputs.examples import Examples
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
    memory: Any = torch.utils.deterministic
    filled = memory.fill_uninitialized_memory
    torch.set_num_threads(threads)
    # Filling memory that is written before it is read made a step of small_cnn at 64 px 20 % longer.
    memory.fill_uninitialized_memory = False
    torch.set_deterministic_debug_mode("error")  # `use_deterministic_algorithms` imports the compiler, 4 s
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_deterministic_debug_mode(before[1])
        memory.fill_uninitialized_memory = filled


def fit(
    model: nn.Module,
    train: Examples,
    validation: Examples,
    settings: TrainSettings,
    *,
    checkpoints: PhaseCheckpoints | None = None,
    team: Team = ALONE,
    on_batch: Callable[[], None] = lambda: None,
    on_epoch: Callable[[EpochMetrics], None] = lambda epoch: None,
) -> Fit:
    """Train until the epochs are over, validation accuracy stopped growing, or nothing is learnt.

    The best epoch is the one with the highest validation accuracy, the lower loss among equals. Killed at any
    moment, the same call with the same ``checkpoints`` goes on, and ends with the same weights.

    ``mixed_precision`` and ``channels_last`` are off unless set. On an AMD EPYC with AVX-512 BF16, by one
    thread, a step in bfloat16 took 0.69 of the time for small_cnn (64 px, batch 32) and 0.59 for ResNet-18
    (224 px, batch 8); a CPU without bfloat16 takes longer than in float32. ``channels_last`` changed neither
    by more than 2 %: pictures come with their colours last, and torch's convolutions follow their input.

    Args:
        model: inputs to logits ``(n, classes)`` and embedding ``(n, features)``.
        train: what is learnt from; pictures, ``(n, height, width, 3)`` uint8, are augmented.
        validation: what chooses the epoch.
        settings: how.
        checkpoints: where the training is written down; None: nowhere.
        team: the processes that train this model together; each calls this with the same arguments.
        on_batch: called after each batch, those that a checkpoint brought included.
        on_epoch: called after each epoch, likewise; what it raises ends the training.

    Raises:
        UsageError: a batch has more examples than there are, or needs more memory than there is.
        NoRoom: the disk takes no checkpoint; the one before is as it was.
        ServiceUnreachable: the store of the checkpoints does not answer.
    """
    check_batch_size(train, settings)
    if settings.channels_last:
        model.to(memory_format=torch.channels_last)
    with enough_memory(settings.batch_size):
        state = TrainingState(model, settings, train.classes)
        keeper = Keeper(state, checkpoints, settings.checkpoint_seconds, writes=team.rank == 0)
        for _ in range(state.steps):
            on_batch()
        for epoch in state.epochs:
            on_epoch(epoch)
        while not state.over:
            done = len(state.epochs)
            _train_epoch(state, train, settings, keeper, team, on_batch)
            if state.failure is None:
                team.agree(model)
                state.end_epoch(measure(model, validation, settings.batch_size, team))
            keeper.now() if state.over else keeper.when_due()
            for epoch in state.epochs[done:]:
                on_epoch(epoch)
        state.keep_best()
    if settings.channels_last:
        model.to(memory_format=torch.contiguous_format)
    return Fit(tuple(state.epochs), state.best_epoch, state.failure)


def _train_epoch(
    state: TrainingState,
    train: Examples,
    settings: TrainSettings,
    keeper: Keeper,
    team: Team,
    on_batch: Callable[[], None],
) -> None:
    """Learn what is left of an epoch; a loss that is no number ends it as a failure."""
    model, device = state.model, next(state.model.parameters()).device
    weights = class_weights(train.labels, train.classes) if settings.class_balance == "weights" else None
    criterion = nn.CrossEntropyLoss(weights, label_smoothing=settings.label_smoothing).to(device)
    model.train()
    # Batch normalisation cannot learn from a batch of one.
    state.begin_epoch(train, at_least=2 * team.size if _normalises_batches(model) else 1)
    left = state.order[state.batches * settings.batch_size :]
    for inputs, labels in team.batches(train, left, settings.batch_size):
        chance = team.chance(state.generator, state.steps)
        varied = _varied(inputs.to(device), settings, chance)
        mixed, partners, share = mix(varied, labels, settings.mixup, chance)
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.mixed_precision):
            logits, _ = model(mixed)
            loss = criterion(logits, labels.to(device))
            if share < 1:
                loss = share * loss + (1 - share) * criterion(logits, partners.to(device))
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        weight = len(labels) if weights is None else float(weights[labels].sum())
        value = team.average(state.learning, loss.item(), weight)
        if not math.isfinite(value):
            state.failure = not_finite(state.epoch, "training loss", value, state.learning_rate)
            return
        if settings.gradient_clip is not None:
            nn.utils.clip_grad_norm_(state.learning, settings.gradient_clip)
        state.optimizer.step()
        state.end_batch(team.total(Tally.of_batch(value, logits, labels)))
        on_batch()
        keeper.when_due()


def _varied(inputs: Tensor, settings: TrainSettings, generator: torch.Generator) -> Tensor:
    """Pictures are augmented; features are those of pictures as they came."""
    if inputs.dim() == PICTURES_DIMENSIONS and inputs.dtype == torch.uint8:
        return augment(inputs, settings.augmentation, generator)
    return inputs


def _normalises_batches(model: nn.Module) -> bool:
    return any(
        isinstance(each, nn.modules.batchnorm._BatchNorm) and each.training for each in model.modules()
    )
