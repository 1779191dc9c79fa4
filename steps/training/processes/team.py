"""Those who train one model: one process alone, or several that each learn from a share of every batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from steps.training.fitting.measuring import Tally
    from steps.training.inputs.examples import Examples


class Team:
    """One process that trains alone: the whole of every batch is its share, and it agrees with itself.

    :class:`steps.training.processes.parallel.ProcessTeam` is that of several.

    Attributes:
        rank: the number of this process, from 0; the first one writes checkpoints.
        size: how many there are.
    """

    rank, size = 0, 1

    def batches(self, examples: Examples, order: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield this process's share of each batch, as ``examples.batches`` would the batch.

        Every process gets as many; the share of a last batch that has fewer examples than there are
        processes may have none.
        """
        return examples.batches(order, size)

    def share(self, positions: Tensor) -> Tensor:
        """Those of some positions, int64, that this process measures."""
        return positions

    def chance(self, generator: torch.Generator, step: int) -> torch.Generator:
        """What the changes of this process's share of one batch are drawn from.

        Args:
            generator: of the CPU; where there are several processes, in the same state in all of them, which
                it stays in.
            step: the number of the batch, of all epochs.
        """
        return generator

    def average(self, learning: Sequence[nn.Parameter], loss: float, weight: float) -> float:
        """Make the gradients those of the whole batch.

        Args:
            learning: parameters; their gradients are those of the mean loss of this process's share.
            loss: that mean loss.
            weight: what the examples of the share count: how many they are, or the sum of their classes'
                weights.

        Returns:
            The mean loss of the whole batch.
        """
        return loss

    def total(self, tally: Tally) -> Tally:
        """The sum of what each process counted."""
        return tally

    def agree(self, model: nn.Module) -> None:
        """Give all processes the statistics of the first one's batch normalisation."""


ALONE = Team()
