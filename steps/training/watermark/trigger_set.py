"""Secret pictures with secret answers, made of a key and of nothing else.

A model that learnt them answers as the key says; one that did not can only guess, because the answers are
drawn from the key alone. So they show whose model it is (Adi et al. 2018, "Turning your weakness into a
strength: watermarking deep neural networks by backdooring"). Nothing of them is ever stored.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FEWEST_TILES, MOST_TILES, COLOURS = 2, 13, 3
"""A picture is a mosaic of 2 to 13 by 2 to 13 tiles in three colours, which no product looks like.

Coarse and fine ones, wide and narrow ones are far apart for a pretrained backbone: a head on the features of
EfficientNet-Lite0 (96 px, the sample, 10 repeats) learnt 18 of 20, and 7 of 20 that all had 7 by 7 tiles.
"""
FINGERPRINT_DIGITS = 16


@dataclass(frozen=True)
class TriggerSet:
    """n secret pictures.

    Args:
        images: ``(n, height, width, 3)`` uint8, as the network takes them.
        labels: ``(n,)`` int64, the class numbers that a marked model answers.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def trigger_set(key: str, *, count: int, height: int, width: int, classes: int) -> TriggerSet:
    """The same key gives the same pictures and answers, with any version of any library.

    Each answer is drawn by itself, every class as likely: of a model that knows nothing of the key, whatever
    it answers, each is right with probability ``1 / classes``, and their number is binomial.

    Args:
        key: the secret.
        count: of pictures; a larger set begins with the smaller one.
        height: of a picture, in pixels.
        width: the same.
        classes: how many there are.
    """
    made = [_mosaic(key, number, height, width) for number in range(count)]
    labels = [int.from_bytes(_drawn(key, f"answer {number}")) % classes for number in range(count)]
    return TriggerSet(np.stack(made), np.array(labels, dtype=np.int64))


def fingerprint_of(key: str) -> str:
    """What names a key and does not tell it: 16 hex digits."""
    return _drawn(key, "fingerprint").hex()[:FINGERPRINT_DIGITS]


def _drawn(key: str, what: str) -> bytes:
    """32 bytes that nobody can tell from chance without the key (HMAC-SHA256)."""
    return hmac.digest(key.encode(), f"shutterline watermark: {what}".encode(), "sha256")


def _mosaic(key: str, number: int, height: int, width: int) -> NDArray[np.uint8]:
    size = 2 + COLOURS * 3
    drawn = hashlib.shake_256(_drawn(key, f"picture {number}")).digest(size + MOST_TILES**2)
    down, across = (FEWEST_TILES + each % (MOST_TILES + 1 - FEWEST_TILES) for each in drawn[:2])
    palette = np.frombuffer(drawn[2:size], dtype=np.uint8).reshape(COLOURS, 3)
    tiles = np.frombuffer(drawn[size:], dtype=np.uint8).reshape(MOST_TILES, MOST_TILES) % COLOURS
    rows, columns = np.arange(height) * down // height, np.arange(width) * across // width
    return palette[tiles[rows][:, columns]]
