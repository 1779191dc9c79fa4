"""Fog over pictures: a plasma fractal that is added to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FULL = 255.0


def fog(images: NDArray[np.uint8], thickness: float, decay: float, seeds: Sequence[int]) -> NDArray[np.uint8]:
    """Lay fog over each picture and scale the result back to the picture's own range.

    Args:
        images: ``(n, height, width, 3)``.
        thickness: how bright the fog is at its brightest, in times of the range of values.
        decay: by how much each finer layer of the fog is weaker than the one before; near 1 it is grainy.
        seeds: n, of each picture's fog.

    Returns:
        The same shape; fog is white and the same in all colours (Hendrycks and Dietterich, 2019).
    """
    height, width = images.shape[1:3]
    foggy = np.empty_like(images)
    for number, seed in enumerate(seeds):
        clouds = plasma(max(height, width), decay, np.random.default_rng(seed))[:height, :width, None]
        clear = images[number] / FULL
        brightest = clear.max()
        seen = (clear + thickness * clouds) * (brightest / (brightest + thickness))
        foggy[number] = np.rint(np.clip(seen, 0, 1) * FULL)
    return foggy


def plasma(side: int, decay: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """A plasma fractal on a torus by midpoint displacement (Fournier, Fussell and Carpenter, 1982).

    Args:
        side: the least number of rows and columns.
        decay: the displacement of each halving of the grid is that of the one before, divided by this.
        generator: draws it.

    Returns:
        A square of a power of two from ``side`` on, its values from 0 to 1.
    """
    heights, displacement = np.zeros((1, 1)), 1.0
    while len(heights) < side:
        heights = _refined(heights, displacement, generator)
        displacement /= decay
    lowest, highest = heights.min(), heights.max()
    return np.asarray((heights - lowest) / max(highest - lowest, np.finfo(float).tiny))


def _refined(
    heights: NDArray[np.float64], displacement: float, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Twice the resolution: centres of squares from their corners, then middles of edges from both."""

    def displaced(total: NDArray[np.float64]) -> NDArray[np.float64]:
        return total / 4 + generator.uniform(-displacement, displacement, total.shape)

    below, right = np.roll(heights, -1, axis=0), np.roll(heights, -1, axis=1)
    centres = displaced(heights + below + right + np.roll(below, -1, axis=1))
    fine = np.empty((2 * len(heights), 2 * len(heights)))
    fine[::2, ::2], fine[1::2, 1::2] = heights, centres
    fine[::2, 1::2] = displaced(heights + right + centres + np.roll(centres, 1, axis=0))
    fine[1::2, ::2] = displaced(heights + below + centres + np.roll(centres, 1, axis=1))
    return fine
