"""Make unknown pictures out of test pictures: their colours and textures, but no product that exists."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
GRID = 4
"""Pieces a side that a picture is cut into: its parts are still there, its shape is not."""
BEND, SMOOTH = 0.25, 0.08
"""How far an elastic picture is bent and over which distance, as shares of its side: no outline survives."""


def jigsaw(own: Pixels, other: Pixels, generator: np.random.Generator) -> Pixels:
    """The pieces of a picture in another order; what does not fill a piece stays.

    Args:
        own: ``(height, width, 3)`` uint8.
        other: is not used.
        generator: draws the order.
    """
    height, width = (max(1, side // GRID) for side in own.shape[:2])
    corners = [
        (top, left)
        for top in range(0, height * (own.shape[0] // height), height)
        for left in range(0, width * (own.shape[1] // width), width)
    ]
    mixed = own.copy()
    for (top, left), place in zip(corners, generator.permutation(len(corners)), strict=True):
        there, along = corners[place]
        mixed[top : top + height, left : left + width] = own[there : there + height, along : along + width]
    return mixed


def elastic(own: Pixels, other: Pixels, generator: np.random.Generator) -> Pixels:
    """A picture that is bent in every direction (Simard et al. 2003), much further than a product could be.

    Args:
        own: ``(height, width, 3)`` uint8.
        other: is not used.
        generator: draws the bends.
    """
    from scipy.ndimage import gaussian_filter, map_coordinates

    shape = own.shape[:2]
    side = min(shape)
    places = []
    for axis in np.indices(shape, dtype=np.float64):
        field = gaussian_filter(generator.uniform(-1, 1, shape), SMOOTH * side, mode="wrap")
        strongest = max(float(np.abs(field).max()), np.finfo(np.float64).tiny)
        places.append(axis + field / strongest * BEND * side)
    channels = [
        map_coordinates(own[..., channel], places, order=1, mode="nearest") for channel in range(own.shape[2])
    ]
    return np.stack(channels, axis=-1)


def halves(own: Pixels, other: Pixels, generator: np.random.Generator) -> Pixels:
    """The left half of one picture beside the right half of another.

    Args:
        own: ``(height, width, 3)`` uint8.
        other: the same, of another class.
        generator: is not used.
    """
    middle = own.shape[1] // 2
    return np.concatenate([own[:, :middle], other[:, middle:]], axis=1)


def blend(own: Pixels, other: Pixels, generator: np.random.Generator) -> Pixels:
    """Two pictures shown at once, each at half its strength.

    Args:
        own: ``(height, width, 3)`` uint8.
        other: the same, of another class.
        generator: is not used.
    """
    return ((own.astype(np.uint16) + other) // 2).astype(np.uint8)


Maker = Callable[[Pixels, Pixels, np.random.Generator], Pixels]
ALONE: dict[str, Maker] = {"jigsaw": jigsaw, "elastic": elastic}
"""What is made of one picture."""
OF_TWO: dict[str, Maker] = {"halves": halves, "blend": blend}
"""What is made of two pictures, which are of two classes."""
KINDS = (*ALONE, *OF_TWO)


def near_pictures(
    pixels: Pixels, classes: NDArray[np.int64], generator: np.random.Generator
) -> tuple[Pixels, list[str], NDArray[np.int64]]:
    """Make one unknown picture out of each picture, every kind as often as the others.

    Args:
        pixels: ``(m, height, width, 3)`` uint8, test pictures.
        classes: ``(m,)``, their true class numbers. Where all are of one class no two are put together.
        generator: draws what is random.

    Returns:
        ``(m, height, width, 3)`` uint8; the m kinds; and ``(m,)`` the row of the second picture that each
        may show, or its own row.
    """
    kinds = list(KINDS if len(np.unique(classes)) > 1 else ALONE)
    makers = ALONE | OF_TWO
    chosen = [kinds[row % len(kinds)] for row in range(len(pixels))]
    partners = np.arange(len(pixels))
    for row, kind in enumerate(chosen):
        if kind in OF_TWO:
            partners[row] = generator.choice(np.flatnonzero(classes != classes[row]))
    made = [
        makers[kind](own, pixels[partner], generator)
        for kind, own, partner in zip(chosen, pixels, partners, strict=True)
    ]
    return np.stack(made), chosen, partners
