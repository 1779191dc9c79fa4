"""JPEGs as many as are wanted: unique, valid, 256 × 256, 16 KB on average.

A few textures are encoded for real; each further picture is one of them with slightly larger quantisation
steps for its lowest frequencies. It decodes to other pixels, and is written at the speed of a copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import simplejpeg
from PIL import Image

from materializers.image_dataset import Picture

SIDE, TEXTURES, QUALITY = 256, 64, 85
NOISE = 6.6
"""Deviation of the noise in levels, at which a texture is 16 KB."""
CHANGED_STEPS, LARGER = 7, 3
"""Steps after the first, and what each may be larger by, less one: 3 ** 7 pictures of a texture."""
QUANTISATION = b"\xff\xdb"
CLASSES = ("electronics", "clothing", "home", "books", "toys")


def jpeg(number: int) -> bytes:
    """The picture of this number; another number is another picture."""
    head, steps, tail = textures()[number % TEXTURES]
    rest, larger = number // TEXTURES, bytearray()
    for step in steps:
        rest, more = divmod(rest, LARGER)
        larger.append(step + more)
    return head + bytes(larger) + tail


def pictures(count: int, first: int = 0) -> Iterator[Picture]:
    """Labelled pictures, from ``first`` on."""
    for number in range(first, first + count):
        yield Picture(
            data=jpeg(number),
            label=CLASSES[number % len(CLASSES)],
            width=SIDE,
            height=SIDE,
            orientation=1,
            source=f"shop/images/{number:07d}.jpg",
        )


@cache
def textures() -> list[tuple[bytes, bytes, bytes]]:
    """Each texture's JPEG: before, within and behind the first steps of its first quantisation table."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(TEXTURES):
        coarse = Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=np.float64)
        noisy = smooth + random.normal(0, NOISE, smooth.shape)
        data = simplejpeg.encode_jpeg(
            np.clip(noisy, 0, 255).astype(np.uint8), quality=QUALITY, colorsubsampling="420"
        )
        first = data.index(QUANTISATION) + 5 + 1  # marker, length, number of the table, its first step
        last = first + CHANGED_STEPS
        found.append((data[:first], data[first:last], data[last:]))
    return found
