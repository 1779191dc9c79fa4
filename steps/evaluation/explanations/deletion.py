"""The deletion test: how far an answer falls when the pixels go that an explanation puts first.

After Petsiuk, Das and Saenko (RISE, 2018), at one share of the pixels. What is left of a picture is scored by
the code that serves. An explanation that says nothing about the model does no better than pixels drawn at
random, which is why only the difference between the two is judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steps.evaluation.explanations.attributions import Maps

if TYPE_CHECKING:
    from serving.predictor import Predictor

Array = NDArray[np.float64]


@dataclass(frozen=True)
class DeletionTest:
    """The pictures of a deletion test.

    Args:
        predictor: what is served; its temperature makes probabilities of its logits.
        pixels: ``(n, height, width, 3)`` uint8, RGB.
        missing: the same pictures with every pixel missing.
        answered: ``(n,)``, the class numbers of the answers.
        share: of a picture's pixels, that goes.
        seed: of random pixels, and of the order of pixels that are equally important.
    """

    predictor: Predictor
    pixels: NDArray[np.uint8]
    missing: NDArray[np.uint8]
    answered: NDArray[np.int64]
    share: float
    seed: int

    def drops(self, maps: Maps) -> Array:
        """By how much the probability of each answer falls when its most important pixels go.

        Args:
            maps: ``(n, height, width)``, the importance of each pixel.

        Returns:
            ``(n,)``, from −1 to 1.
        """
        return self._drops(maps, np.random.default_rng(self.seed))

    def random_drops(self, draws: int) -> Array:
        """The mean fall ``(n,)`` over so many draws of random pixels for each picture."""
        generator = np.random.default_rng([self.seed, 1])
        nothing = np.zeros(self.pixels.shape[:3])
        return np.asarray(np.mean([self._drops(nothing, generator) for _ in range(draws)], axis=0))

    def _drops(self, maps: Maps, generator: np.random.Generator) -> Array:
        deleted = delete(self.pixels, self.missing, maps, self.share, generator)
        return self._probabilities(self.pixels) - self._probabilities(deleted)

    def _probabilities(self, pixels: NDArray[np.uint8]) -> Array:
        """Of the answers ``(n,)``."""
        from serving.predictor import probabilities

        scored = probabilities(self.predictor.scores(pixels)[0], self.predictor.metadata.temperature)
        return scored[np.arange(len(pixels)), self.answered]


def delete(
    pixels: NDArray[np.uint8],
    missing: NDArray[np.uint8],
    maps: Maps,
    share: float,
    generator: np.random.Generator,
) -> NDArray[np.uint8]:
    """Let the most important pixels of each picture be missing.

    Args:
        pixels: ``(n, height, width, 3)``.
        missing: the same pictures with every pixel missing.
        maps: ``(n, height, width)``, the importance of each pixel.
        share: of the pixels of a picture; one at least.
        generator: decides among pixels that are equally important.

    Returns:
        Copies, as ``pixels``.
    """
    n, height, width = maps.shape
    count = max(1, round(share * height * width))
    flat = maps.reshape(n, -1)
    order = np.lexsort((generator.random(flat.shape), -flat), axis=1)
    gone = np.zeros(flat.shape, dtype=bool)
    np.put_along_axis(gone, order[:, :count], True, axis=1)
    return np.where(gone.reshape(n, height, width, 1), missing, pixels)
