"""Ask for the same pictures again: alone, alone once more, and in batches of another order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steps.evaluation.behaviour.asking import Probabilities, answers_to, labels_of, stored

if TYPE_CHECKING:
    from steps.evaluation.examined import Examined

BATCH = 64
TOLERANCE = 1e-5
"""How far a probability may be from itself in another batch.

onnxruntime may multiply one row and 64 rows by different kernels, which add in another order. small_cnn,
EfficientNet-Lite0 and ResNet-50 gave the same bits alone and in a batch, with one thread and with two (1.26,
AVX-512); where kernels differ, float32 rounds logits of size 30 by 2e-6, and a probability moves by half of
what its logit does at most.
"""


@dataclass(frozen=True)
class Constancy:
    """Whether m pictures got the same answer again.

    Args:
        twice: ``(m,)``, alone and alone, to the bit.
        another_batch: ``(m,)``, alone, among others, and as the evaluation had it: the same label, and
            probabilities within ``TOLERANCE``.
        largest_difference: of a probability between these.
    """

    twice: NDArray[np.bool_]
    another_batch: NDArray[np.bool_]
    largest_difference: float


def ask_again(examined: Examined, positions: NDArray[np.int64], seed: int) -> Constancy:
    """Ask for pictures three times, from encoded bytes as a request does.

    Args:
        examined: the model, its pictures, and what it answered in the evaluation.
        positions: ``(m,)``, m > 0, of pictures that have an answer.
        seed: of the order in which they are put into batches.
    """
    first, second = (_asked(examined, positions, batch=1) for _ in range(2))
    order = np.random.default_rng(seed).permutation(len(positions))
    among_others = np.empty_like(first)
    among_others[order] = _asked(examined, positions[order], batch=BATCH)
    return compare(first, second, (among_others, examined.probabilities[positions]))


def compare(first: Probabilities, second: Probabilities, in_batches: tuple[Probabilities, ...]) -> Constancy:
    """Compare answers, ``(m, k)`` each, with the first ones; zeros are no answer, and never the same."""
    answered = first.any(axis=1)
    differences = np.stack([np.abs(first - each).max(axis=1) for each in in_batches])
    alike = np.stack([labels_of(first) == labels_of(each) for each in in_batches])
    same = alike & (differences <= TOLERANCE)
    return Constancy(
        twice=np.asarray(answered & (first == second).all(axis=1)),
        another_batch=np.asarray(answered & same.all(axis=0)),
        largest_difference=float(differences.max()),
    )


def _asked(examined: Examined, positions: NDArray[np.int64], *, batch: int) -> Probabilities:
    parts = []
    for start in range(0, len(positions), BATCH):
        data, turns = stored(examined, positions[start : start + BATCH])
        parts += [
            answers_to(examined.predictor, data[row : row + batch], turns[row : row + batch])
            for row in range(0, len(data), batch)
        ]
    return np.concatenate(parts)
