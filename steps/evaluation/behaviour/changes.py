"""Change pictures: as no product changes, and so that the product is gone.

What the network takes, ``(n, height, width, 3)`` uint8, is flipped, shifted, lit and covered. To encode anew
starts from the stored picture, and goes the way of a request.
"""

from __future__ import annotations

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from serving.preprocess import UNLIMITED, open_checked, upright
from serving.strip_metadata import strip_metadata

Images = NDArray[np.uint8]

DIRECTIONS = np.array([(0, 1), (0, -1), (1, 0), (-1, 0)])
"""Down and right are positive."""
MOST_PIXELS = 1_000_000
"""Of a picture that is encoded anew: a PNG of 12 million takes seconds."""
PNG_LEVEL = 1
"""The quickest of zlib's; the pixels are the same."""


def flipped(images: Images) -> Images:
    """Left and right change places."""
    return np.ascontiguousarray(images[:, :, ::-1])


def shifted(images: Images, share: float, directions: NDArray[np.int64]) -> Images:
    """Move each picture; its edge fills the room that gets free.

    Args:
        images: n pictures.
        share: of the side, rounded to pixels, one at least.
        directions: ``(n,)``, numbers of ``DIRECTIONS``.
    """
    height, width = images.shape[1:3]
    down, right = (max(1, round(share * side)) for side in (height, width))
    moved = np.empty_like(images)
    for number, (vertical, horizontal) in enumerate(DIRECTIONS.tolist()):
        rows = np.clip(np.arange(height) - vertical * down, 0, height - 1)
        columns = np.clip(np.arange(width) - horizontal * right, 0, width - 1)
        chosen = directions == number
        moved[chosen] = images[chosen][:, rows][:, :, columns]
    return moved


def lit(images: Images, factor: float) -> Images:
    """Multiply every pixel, and cut off at white."""
    return np.asarray(np.clip(np.rint(images * np.float32(factor)), 0, 255).astype(np.uint8))


def covered(images: Images, share: float) -> Images:
    """Lay a block of the picture's own mean colour over the middle.

    Args:
        images: n pictures.
        share: of each side that is covered, one pixel at least.
    """
    height, width = images.shape[1:3]
    rows, columns = (_middle(side, share) for side in (height, width))
    hidden = images.copy()
    hidden[:, rows, columns] = np.rint(images.mean(axis=(1, 2), keepdims=True)).astype(np.uint8)
    return hidden


def encoded_anew(data: bytes, orientation: int, format_: str, *, quality: int) -> bytes:
    """Decode a stored picture, turn it upright, and encode it as a client might.

    One of more than ``MOST_PIXELS`` is scaled to them; a JPEG is decoded no larger than that needs.

    Args:
        data: as it is stored.
        orientation: 1 to 8, as EXIF numbers them.
        format_: ``JPEG`` or ``PNG``.
        quality: of a JPEG, 1 to 100.

    Raises:
        BadPicture: the picture cannot be used.
    """
    header = strip_metadata(data)
    scale = min(1.0, math.sqrt(MOST_PIXELS / (header.width * header.height)))
    size = (max(1, round(header.width * scale)), max(1, round(header.height * scale)))
    _, picture = open_checked(data, UNLIMITED, least=size if scale < 1 else None)
    buffer = io.BytesIO()
    upright(picture.resize(size, Image.Resampling.BOX), orientation).save(
        buffer, format_, quality=quality, compress_level=PNG_LEVEL
    )
    return buffer.getvalue()


def _middle(side: int, share: float) -> slice:
    length = max(1, round(side * share))
    start = (side - length) // 2
    return slice(start, start + length)
