"""What a network learns from: inputs with labels, in the order that is asked for.

Pictures (:class:`steps.training.inputs.batches.Pictures`), features in memory, or a part of either.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor


class Examples(Protocol):
    """Labelled inputs of a network.

    Attributes:
        classes: how many there are.
        labels: the class number of each, ``(n,)`` int64.
    """

    classes: int
    labels: Tensor

    def __len__(self) -> int:
        """How many there are."""

    def batches(self, order: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs ``(size, …)`` and their class numbers ``(size,)`` int64.

        Args:
            order: positions, int64; one may come more than once. The last batch has what is left over.
            size: examples a batch.
        """


class Rows:
    """Inputs that are in memory, as the features of a frozen backbone are."""

    def __init__(self, inputs: Tensor, labels: Tensor, classes: int) -> None:
        """Take them as they are, without a copy.

        Args:
            inputs: ``(n, …)``; features are ``(n, features)`` float32.
            labels: class numbers, ``(n,)`` int64.
            classes: how many classes there are.

        Raises:
            ValueError: there are not as many labels as inputs.
        """
        if len(inputs) != len(labels):
            raise ValueError(f"There are {len(inputs):,} inputs and {len(labels):,} labels.")
        self.inputs, self.labels, self.classes = inputs, labels, classes

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.labels)

    def batches(self, order: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs ``(size, …)`` and their class numbers ``(size,)`` int64, in the order of positions."""
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            yield self.inputs[rows], self.labels[rows]


class Part:
    """Some of other examples, as a fold of cross-validation is; nothing is copied."""

    def __init__(self, examples: Examples, positions: Tensor) -> None:
        """Choose.

        Args:
            examples: all of them.
            positions: those that are chosen, int64, in the order that they get here.
        """
        self._examples, self._positions = examples, positions
        self.classes = examples.classes
        self.labels = examples.labels[positions]

    def __len__(self) -> int:
        """How many were chosen."""
        return len(self._positions)

    def batches(self, order: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs and class numbers; ``order`` counts within the part."""
        return self._examples.batches(self._positions[order], size)
