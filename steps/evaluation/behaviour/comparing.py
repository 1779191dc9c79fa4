"""Set the answers to changed pictures beside those to the pictures as they were."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from materializers.evaluation.behaviour import Invariance
from steps.evaluation.behaviour.asking import labels_of
from steps.evaluation.intervals import mean_of, share_of

Probabilities = NDArray[np.float64]


def invariance(name: str, before: Probabilities, after: Probabilities) -> Invariance:
    """How many answers a transformation left as they were, and how far their probability moved.

    Pictures at the boundary of two classes count like all others: a model that has many of them there is one
    whose answers hang on a pixel.

    Args:
        name: of the transformation.
        before: ``(m, k)``, of the pictures as they were.
        after: ``(m, k)``; zeros where there is no answer any more.
    """
    moved = np.abs(_of_answer(before, before) - _of_answer(before, after))
    return Invariance(
        transformation=name, kept=share_of(kept(before, after)), probability_change=mean_of(moved)
    )


def kept(before: Probabilities, after: Probabilities) -> NDArray[np.bool_]:
    """Whose answer stayed, ``(m,)``."""
    return np.asarray(labels_of(before) == labels_of(after))


def less_sure(before: Probabilities, after: Probabilities) -> NDArray[np.bool_]:
    """Whose answer got less probable, ``(m,)``.

    By the odds, not the probability: two that both round to 1 have others beside them that tell them apart.
    """
    return _log_odds(before, before) > _log_odds(before, after)


def drop(before: Probabilities, after: Probabilities) -> NDArray[np.float64]:
    """How much the probability of the answer fell, ``(m,)``."""
    return _of_answer(before, before) - _of_answer(before, after)


def _of_answer(before: Probabilities, rows: Probabilities) -> NDArray[np.float64]:
    """The probability in ``rows`` of what is answered ``before``."""
    found: NDArray[np.float64] = np.take_along_axis(rows, before.argmax(axis=1)[:, np.newaxis], axis=1)[:, 0]
    return found


def _log_odds(before: Probabilities, rows: Probabilities) -> NDArray[np.float64]:
    others = rows.copy()
    np.put_along_axis(others, before.argmax(axis=1)[:, np.newaxis], 0.0, axis=1)
    with np.errstate(divide="ignore"):
        odds: NDArray[np.float64] = np.log(_of_answer(before, rows)) - np.log(others.sum(axis=1))
    return odds
