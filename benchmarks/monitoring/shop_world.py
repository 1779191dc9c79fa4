"""A world in numbers: pictures of a shop as vectors, what drifts in it, and models that learn from it.

A picture is the vector that an embedding would be. What it shows never changes; how it looks does, twice in
the year, and for a week a broken feed sends noise under every label.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from materializers.drift_reference import MEASURED, DriftReference

CLASSES = ("electronics", "clothing", "home", "books", "toys")
DIMENSIONS, FEATURES = 16, 192
APART, SPREAD = 0.8, 1.0
"""Of the classes' middles, and of the pictures of one class: a model is right in about 93 of 100."""
DRIFTS = (93, 234)
"""The days on which pictures begin to look otherwise."""
MOVED = 3.0
"""How far a drift moves the classes, each another way."""
BROKEN = range(150, 157)
RIDGE = 3.0
SHARPNESS = 8.0
"""By which the scores of a ridge regression are made probabilities."""
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Pictures:
    """Pictures with their true classes.

    Args:
        vectors: ``(n, DIMENSIONS)``.
        true: ``(n,)``, class numbers.
        day: ``(n,)``, on which they were taken.
    """

    vectors: Vectors
    true: NDArray[np.int64]
    day: NDArray[np.int64]

    def __len__(self) -> int:
        """The number of pictures."""
        return len(self.true)

    def taken(self, rows: NDArray[np.bool_]) -> Pictures:
        """Some of them."""
        return Pictures(self.vectors[rows], self.true[rows], self.day[rows])


def joined(parts: list[Pictures]) -> Pictures:
    """All of them, in order."""
    return Pictures(
        np.concatenate([part.vectors for part in parts]),
        np.concatenate([part.true for part in parts]),
        np.concatenate([part.day for part in parts]),
    )


class World:
    """What pictures look like on a day.

    Args:
        seed: draws the classes and how they move.
    """

    def __init__(self, seed: int) -> None:
        draw = np.random.default_rng(seed)
        k = len(CLASSES)
        self._middles = draw.normal(0, APART, (1, k, DIMENSIONS))
        for _ in DRIFTS:
            turned = draw.normal(0, 1, (k, DIMENSIONS))
            turned *= MOVED / np.linalg.norm(turned, axis=1, keepdims=True)
            self._middles = np.concatenate([self._middles, self._middles[-1:] + turned[None]])

    @staticmethod
    def phase(day: int) -> int:
        """How many drifts there were."""
        return sum(day >= drift for drift in DRIFTS)

    def pictures(self, day: int, n: int, draw: np.random.Generator, *, sound: bool = False) -> Pictures:
        """New pictures of a day.

        Args:
            day: from 0.
            n: how many.
            draw: draws them.
            sound: leave the broken feed out.
        """
        true = draw.integers(0, len(CLASSES), n)
        middles = self._middles[self.phase(day)][true]
        if day in BROKEN and not sound:
            middles = np.zeros_like(middles)
        vectors = (middles + draw.normal(0, SPREAD, middles.shape)).astype(np.float32)
        return Pictures(vectors, true, np.full(n, day))


@dataclass(frozen=True)
class Model:
    """Ridge regression on random features of the vectors.

    Args:
        number: its version.
        born: the day on which it was trained.
        learnt_until: the newest day of the pictures that it learnt from.
        weights: ``(FEATURES + 1, k)``.
        reference: its answers on pictures that it did not learn from.
        accuracy: on its test pictures.
    """

    number: int
    born: int
    learnt_until: int
    weights: NDArray[np.float64] = field(repr=False)
    reference: DriftReference = field(repr=False)
    accuracy: float

    @property
    def digest(self) -> str:
        """Stands for its model directory."""
        return f"{self.number:064x}"

    def probabilities(self, vectors: Vectors) -> NDArray[np.float32]:
        """``(n, k)``."""
        return _probabilities(_features(vectors) @ self.weights)

    def right(self, pictures: Pictures) -> NDArray[np.bool_]:
        """Which it answers as they are."""
        right: NDArray[np.bool_] = self.probabilities(pictures.vectors).argmax(axis=1) == pictures.true
        return right


def learn(number: int, day: int, data: Pictures, tested: NDArray[np.bool_]) -> Model:
    """Train on what is not tested; the tested pictures are the reference.

    Args:
        number: of the version.
        day: today.
        data: everything that was delivered.
        tested: ``(n,)``, whether a picture is on the test side.
    """
    learnt = data.taken(~tested)
    features = _features(learnt.vectors)
    targets = np.eye(len(CLASSES))[learnt.true] - 1 / len(CLASSES)
    gram = features.T @ features
    gram[np.diag_indices_from(gram)] += RIDGE
    weights: NDArray[np.float64] = np.linalg.solve(gram, features.T @ targets).astype(np.float64)
    held_out = data.taken(tested)
    scores = _probabilities(_features(held_out.vectors) @ weights)
    return Model(
        number=number,
        born=day,
        learnt_until=int(learnt.day.max()),
        weights=weights,
        reference=answers(held_out, scores, f"{number:064x}"),
        accuracy=float((scores.argmax(axis=1) == held_out.true).mean()),
    )


def answers(pictures: Pictures, scores: NDArray[np.float32], model: str) -> DriftReference:
    """Answers in the form of a reference; statistics of pictures are the same always, and say nothing."""
    n = len(pictures)
    rows = pd.DataFrame(dict.fromkeys(MEASURED, np.full(n, 100.0))).assign(
        image_id=[f"{number:08x}" for number in range(n)],
        split="test",
        label=[CLASSES[number] for number in pictures.true],
        embedded=True,
    )
    return DriftReference(rows, scores, pictures.vectors, CLASSES, model)


_PROJECTION = np.random.default_rng(0).normal(0, 1 / np.sqrt(DIMENSIONS), (DIMENSIONS, FEATURES))
_OFFSET = np.random.default_rng(1).normal(0, 1, FEATURES)


def _features(vectors: Vectors) -> NDArray[np.float64]:
    hidden = np.maximum(vectors @ _PROJECTION + _OFFSET, 0)
    return np.concatenate([hidden, np.ones((len(hidden), 1))], axis=1)


def _probabilities(scores: NDArray[np.float64]) -> NDArray[np.float32]:
    raised = np.exp(SHARPNESS * (scores - scores.max(axis=1, keepdims=True)))
    shares: NDArray[np.float32] = (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares
