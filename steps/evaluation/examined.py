"""A model under examination: what would be served, the pictures it is examined on, and its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from materializers.classifier import Classifier
from materializers.image_dataset import ImageDataset
from steps.evaluation.metrics import UNUSABLE

if TYPE_CHECKING:
    import pandas as pd

    from serving.predictor import Predictor


@dataclass(frozen=True)
class Examined:
    """A model, its n test pictures, and what it answered.

    Args:
        classifier: the trained model; only gradients use its weights.
        predictor: its serving directory, loaded: every picture is scored by it.
        dataset: holds the pictures.
        image_ids: the n test pictures, sorted.
        true: ``(n,)`` int64, their class numbers.
        predicted: ``(n,)`` int64, the answers, or ``UNUSABLE``.
        probabilities: ``(n, k)`` float64.
    """

    classifier: Classifier
    predictor: Predictor
    dataset: ImageDataset
    image_ids: tuple[str, ...]
    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float64]

    @property
    def classes(self) -> tuple[str, ...]:
        """The k names."""
        return self.predictor.metadata.classes

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The dataset's index of the n pictures, in their order: labels, sizes, every column."""
        return self.dataset.index.set_index("image_id").loc[list(self.image_ids)].reset_index()

    def sample(self, size: int, seed: int) -> NDArray[np.int64]:
        """Draw pictures that have an answer, each class by its share and at least one of it.

        Args:
            size: how many at most; every picture where there are no more.
            seed: of the draw.

        Returns:
            ``(m,)`` positions in ``image_ids``, ascending.
        """
        usable = np.flatnonzero(self.predicted != UNUSABLE)
        if len(usable) <= size:
            return usable
        generator = np.random.default_rng(seed)
        shuffled = generator.permutation(usable)
        # The same fraction of each class, its first picture before every second one.
        place = np.empty(len(shuffled))
        for number in np.unique(self.true[shuffled]):
            members = np.flatnonzero(self.true[shuffled] == number)
            place[members] = np.arange(len(members)) / len(members)
        return np.sort(shuffled[np.argsort(place, kind="stable")[:size]])

    def pixels(self, positions: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        """Decode pictures as they would be served.

        Args:
            positions: m positions in ``image_ids``, of pictures that have an answer.

        Returns:
            ``(m, height, width, 3)`` uint8, RGB, what ``predictor.scores`` takes.
        """
        from serving.preprocess import UNLIMITED, decode

        image_ids = [self.image_ids[position] for position in positions]
        preprocessing = self.predictor.metadata.preprocessing
        decoded = [
            decode(data, preprocessing, UNLIMITED, orientation=turn)
            for data, turn in zip(
                self.dataset.pictures(image_ids), self.dataset.orientations(image_ids), strict=True
            )
        ]
        return np.stack(decoded)
