"""Make unknown pictures out of nothing: what a broken camera, a scanner or a prankster may send."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]
LETTERS = "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789 "
LINES = 4
"""Of text in a picture."""


def noise(height: int, width: int, generator: np.random.Generator) -> Pixels:
    """Every value of every pixel at random."""
    return generator.integers(0, 256, (height, width, 3), dtype=np.uint8)


def flat(height: int, width: int, generator: np.random.Generator) -> Pixels:
    """One colour."""
    return np.broadcast_to(_colour(generator), (height, width, 3)).astype(np.uint8)


def gradient(height: int, width: int, generator: np.random.Generator) -> Pixels:
    """From one colour to another, in any direction."""
    along = _along(height, width, generator)
    share = (along - along.min()) / max(float(np.ptp(along)), 1.0)
    return _between(share, generator)


def stripes(height: int, width: int, generator: np.random.Generator) -> Pixels:
    """Stripes of two colours, in any direction, 2 to 8 on a side."""
    period = min(height, width) / generator.uniform(2, 8)
    share = np.floor(2 * _along(height, width, generator) / period) % 2
    return _between(share, generator)


def text(height: int, width: int, generator: np.random.Generator) -> Pixels:
    """Lines of letters that are no words, dark on light."""
    page = Image.new("RGB", (width, height), tuple(generator.integers(200, 256, 3).tolist()))
    ink = tuple(generator.integers(0, 80, 3).tolist())
    size = max(4.0, height / (LINES + 1))
    font = ImageFont.load_default(size)
    draw = ImageDraw.Draw(page)
    for line in range(LINES):
        letters = "".join(generator.choice(list(LETTERS), 1 + int(2 * width / size)))
        draw.text((1, line * height / LINES), letters, fill=ink, font=font)
    return np.asarray(page, dtype=np.uint8)


KINDS: dict[str, Callable[[int, int, np.random.Generator], Pixels]] = {
    "noise": noise,
    "flat": flat,
    "gradient": gradient,
    "stripes": stripes,
    "text": text,
}


def far_pictures(
    count: int, height: int, width: int, generator: np.random.Generator
) -> tuple[Pixels, list[str]]:
    """Make pictures that show no product, every kind as often as the others.

    Args:
        count: how many, m > 0.
        height: in pixels.
        width: in pixels.
        generator: draws what is random.

    Returns:
        ``(m, height, width, 3)`` uint8, and the m kinds.
    """
    names = list(KINDS)
    kinds = [names[row % len(names)] for row in range(count)]
    return np.stack([KINDS[kind](height, width, generator) for kind in kinds]), kinds


def _colour(generator: np.random.Generator) -> NDArray[np.int64]:
    return generator.integers(0, 256, 3)


def _along(height: int, width: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """How far each pixel ``(height, width)`` is in a random direction, in pixels."""
    angle = generator.uniform(0, 2 * np.pi)
    rows, columns = np.indices((height, width))
    return np.asarray(np.sin(angle) * rows + np.cos(angle) * columns)


def _between(share: NDArray[np.float64], generator: np.random.Generator) -> Pixels:
    """A colour for each share ``(height, width)``: one at 0, another at 1."""
    first, second = _colour(generator), _colour(generator)
    return np.rint(first + share[..., None] * (second - first)).astype(np.uint8)
