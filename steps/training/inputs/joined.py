"""Examples with a few more in memory behind them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from steps.training.inputs.examples import Examples


class Joined:
    """Other examples, wherever they are, and then those that are given; nothing is copied."""

    def __init__(self, examples: Examples, inputs: Tensor, labels: Tensor) -> None:
        """Put them behind.

        Args:
            examples: one at least.
            inputs: ``(m, …)``, of the kind that ``examples`` are.
            labels: class numbers, ``(m,)`` int64.
        """
        self._examples, self._inputs = examples, inputs
        self.classes = examples.classes
        self.labels = torch.cat([examples.labels, labels])

    def __len__(self) -> int:
        """How many there are with those behind."""
        return len(self.labels)

    def batches(self, order: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs and class numbers; for each that is behind, the first of the others is fetched too.

        So a batch is one of the others' own, which they may prepare while the one before is learnt.
        """
        before = len(self._examples)
        there = torch.where(order < before, order, 0)
        for number, (inputs, _) in enumerate(self._examples.batches(there, size)):
            rows = order[number * size : (number + 1) * size]
            behind = rows >= before
            if behind.any():
                inputs = inputs.clone()  # noqa: PLW2901 - what was fetched stays as it is
                inputs[behind] = self._inputs[rows[behind] - before]
            yield inputs, self.labels[rows]
