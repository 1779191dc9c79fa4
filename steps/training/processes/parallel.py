"""Train in several processes: each learns from its share of every batch, and all take the same step.

The gradients are averaged after the backward pass, all in one message, rather than by torch's
``DistributedDataParallel``: the loop stays the one of a single process, and a batch whose shares differ, in
size or in the weight of their classes, has exactly the gradient that one process would compute.

What differs from one process: dropout, augmentation and MixUp are drawn for a share; batch normalisation
uses the statistics of a share, and those it keeps for later are the first process's, as in
``DistributedDataParallel``. On GPUs it is replaced by ``SyncBatchNorm``, which uses the whole batch.
"""

from __future__ import annotations

import copy
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, distributed, nn

from steps.training.device import check_gpus, training_device
from steps.training.fitting.loop import Fit, fit, reproducible
from steps.training.fitting.measuring import Tally
from steps.training.processes.shared_tensors import SharedTensors
from steps.training.processes.team import Team

if TYPE_CHECKING:
    from materializers.classifier import EpochMetrics
    from steps.training.fitting.checkpoints import PhaseCheckpoints
    from steps.training.inputs.examples import Examples
    from steps.training.settings import TrainSettings

SEEDS = 2**63 - 1
LAST_WORDS_S = 20
"""How long a process whose partner is gone waits to be ended: the partner's reason is the one to be told."""


def fit_parallel(
    model: nn.Module,
    train: Examples,
    validation: Examples,
    settings: TrainSettings,
    *,
    checkpoints: PhaseCheckpoints | None = None,
    on_batch: Callable[[], None] = lambda: None,
    on_epoch: Callable[[EpochMetrics], None] = lambda epoch: None,
) -> Fit:
    """As :func:`steps.training.fitting.loop.fit`, in ``settings.processes`` processes; with one, in this one.

    Each has ``settings.threads // settings.processes`` threads, at least one. They share the examples that
    are in memory, and each decodes only its own share of those that are not. Afterwards the model has the
    best epoch's weights, wherever it is.

    Raises:
        UsageError: there are more processes than GPUs, or than a batch can be divided among.
        ShutterlineError: a process broke off; those that ``fit`` raises are raised as they are.
    """
    if settings.processes == 1:
        return fit(
            model,
            train,
            validation,
            settings,
            checkpoints=checkpoints,
            on_batch=on_batch,
            on_epoch=on_epoch,
        )
    from steps.training.processes.launching import launch

    check_gpus(settings.processes)

    def hear(epoch: EpochMetrics | None) -> None:
        if epoch is None:
            on_batch()
        else:
            on_epoch(epoch)

    handed = Handed.over(model, train, validation)
    try:
        result: Fit = launch(_member, (handed, settings, checkpoints), settings.processes, hear)
        weights = handed.tensors.opened()
    finally:
        handed.tensors.close()
    model.load_state_dict({name: weights[f"model.{name}"] for name in model.state_dict()})
    return result


def threads_of_each(settings: TrainSettings) -> int:
    """The threads of one of ``settings.processes``."""
    return max(1, settings.threads // settings.processes)


class Absent(NamedTuple):
    """What stands where a tensor was taken out."""

    name: str


class Handed(NamedTuple):
    """A model and what it learns from, their tensors apart.

    Attributes:
        model: on the device ``meta``.
        train: what is learnt from.
        validation: what chooses the epoch.
        tensors: of all three.
    """

    model: nn.Module
    train: Any
    validation: Any
    tensors: SharedTensors

    @classmethod
    def over(cls, model: nn.Module, train: Examples, validation: Examples) -> Handed:
        """Take them apart; they stay as they are, and are not to change while others have them."""
        found = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
        learnt, checked = _taken_out(train, found), _taken_out(validation, found)
        return cls(copy.deepcopy(model).to("meta"), learnt, checked, SharedTensors(found))

    def received(self, device: torch.device) -> tuple[nn.Module, Examples, Examples]:
        """Put them together in a child process: model, training and validation examples.

        Args:
            device: where the model gets to; what it learns changes nothing of what was handed over.
        """
        tensors = self.tensors.opened()
        weights = {name: tensors[f"model.{name}"] for name in self.model.state_dict()}
        self.model.load_state_dict(weights, assign=True)
        model = self.model.to(device)
        if device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return model, _put_back(self.train, tensors), _put_back(self.validation, tensors)

    def give_back(self, model: nn.Module) -> None:
        """Put what a child process learnt where the one that handed over looks for it."""
        tensors = self.tensors.opened(writable=True)
        for name, tensor in model.state_dict().items():
            tensors[f"model.{name}"].copy_(tensor)


class ProcessTeam(Team):
    """One of the processes of ``torch.distributed``'s default group.

    Example ``i`` of a batch is that of process ``i`` modulo their number.
    """

    def __init__(self, device: torch.device, seed: int) -> None:
        """Join.

        Args:
            device: of this process; what is sent lies there.
            seed: of all that is drawn at random.
        """
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        self._device, self._seed = device, seed

    def batches(self, examples: Examples, order: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield this process's share of each batch; see :meth:`Team.batches`."""
        shares = [self.share(order[start : start + size]) for start in range(0, len(order), size)]
        yield from examples.batches(torch.cat([order[:0], *shares]), len(range(self.rank, size, self.size)))
        if shares and not len(shares[-1]):
            inputs, labels = next(iter(examples.batches(order[:1], 1)))
            yield inputs[:0], labels[:0]

    def share(self, positions: Tensor) -> Tensor:
        """Every ``size``-th position, beginning with the one of this process's number."""
        return positions[self.rank :: self.size]

    def chance(self, generator: torch.Generator, step: int) -> torch.Generator:
        """A generator for one batch of this process; torch's random state, for dropout, is one too.

        A checkpoint need not hold either: both follow from the seed, the batch and the process.
        """
        digest = hashlib.blake2b(f"{self._seed} {step} {self.rank}".encode(), digest_size=8).digest()
        own = torch.Generator().manual_seed(int.from_bytes(digest, signed=True))
        torch.manual_seed(int(torch.randint(SEEDS, (), generator=own)))
        return own

    def average(self, learning: Sequence[nn.Parameter], loss: float, weight: float) -> float:
        """Sum gradients and loss, each times its weight, and divide by the sum of the weights."""
        gradients = [
            (torch.zeros_like(each) if each.grad is None else each.grad).reshape(-1) for each in learning
        ]
        bucket = torch.cat([*gradients, torch.tensor([loss, 1.0], device=self._device)])
        # The mean of no example is no number.
        bucket = self._sum(bucket * weight if weight else torch.zeros_like(bucket))
        bucket /= bucket[-1].clone()
        whole = torch.split(bucket[:-2], [each.numel() for each in learning])
        for parameter, gradient in zip(learning, whole, strict=True):
            parameter.grad = gradient.reshape(parameter.shape)
        return float(bucket[-2])

    def total(self, tally: Tally) -> Tally:
        """Sum them in one message; float64 holds every count."""
        counts = tally.confusion.reshape(-1).to(torch.float64)
        mine = torch.cat([counts, torch.tensor([tally.loss_sum], dtype=torch.float64)])
        both = self._sum(mine.to(self._device)).cpu()
        return Tally(both[:-1].to(torch.int64).reshape(tally.confusion.shape), float(both[-1]))

    def agree(self, model: nn.Module) -> None:
        """Take the first process's statistics."""
        for buffer in model.buffers():
            self._wait_if_left(distributed.broadcast, buffer, 0)

    def _sum(self, tensor: Tensor) -> Tensor:
        self._wait_if_left(distributed.all_reduce, tensor)
        return tensor

    @staticmethod
    def _wait_if_left(act: Callable[..., object], *arguments: object) -> None:
        """Do something together; where another process is gone, be ended with it."""
        try:
            act(*arguments)
        except RuntimeError:
            time.sleep(LAST_WORDS_S)
            raise


def _member(
    send: Callable[[Any], None],
    handed: Handed,
    settings: TrainSettings,
    checkpoints: PhaseCheckpoints | None,
) -> Fit:
    """What each process does; the first one sends its epochs, and None for a batch."""
    device = training_device(distributed.get_rank())
    team = ProcessTeam(device, settings.seed)
    with reproducible(settings.seed, threads_of_each(settings)):
        model, train, validation = handed.received(device)
        result = fit(
            model,
            train,
            validation,
            settings,
            checkpoints=checkpoints,
            team=team,
            on_batch=lambda: send(None),
            on_epoch=send,
        )
    if team.rank == 0:
        handed.give_back(model)
    return result


def _taken_out(value: Any, found: dict[str, Tensor]) -> Any:
    """A copy of examples, and of those that they hold, without their tensors, which go into ``found``."""
    if isinstance(value, Tensor):
        name = next((name for name, known in found.items() if known is value), f"examples.{len(found)}")
        found[name] = value
        return Absent(name)
    if not hasattr(value, "batches"):
        return value
    copied = copy.copy(value)
    for name, held in vars(value).items():
        setattr(copied, name, _taken_out(held, found))
    return copied


def _put_back(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The reverse of :func:`_taken_out`."""
    if isinstance(value, Absent):
        return tensors[value.name]
    if hasattr(value, "batches"):
        for name, held in vars(value).items():
            setattr(value, name, _put_back(held, tensors))
    return value
