"""Find the bytes of a picture again in any file, by fingerprints that tell nothing of the picture.

A fingerprint is the 64-bit polynomial hash of 64 bytes from the middle of the encoded picture (of a JPEG:
its entropy-coded part), or of 64 bytes of a row of its thumbnail's pixels. Every place of a file is hashed
and compared (Rabin & Karp 1987), so that a copy is found wherever it begins; the fingerprints may be kept
when the picture may not, and the proof be made again at any time.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from materializers.store_files import read_overlapping

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore

WINDOW = 64
PROBES = 5
DISTINCT = 16
"""Different bytes that a window needs: plain areas of two pictures have the same bytes."""
BASE = np.uint64(0x9E3779B97F4A7C15)  # odd: 2**64 / the golden ratio, as Fibonacci hashing takes it
STRIDE = 2**20
"""Places that are hashed at once: 8 bytes each, three times."""
INLINE = re.compile(rb"data:image/[a-z]+;base64,([A-Za-z0-9+/=]+)")
SHOWN_SUFFIXES = (".png", ".html")
"""What is looked into besides its bytes: a picture's pixels, and the pictures inside a page."""


def fingerprints(data: bytes) -> tuple[int, ...]:
    """Fingerprints of an encoded picture, from its middle; none where it has under 64 bytes."""
    last = len(data) - WINDOW
    starts = dict.fromkeys(round(last * share) for share in (0.5, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0) if last >= 0)
    return _chosen(data, list(starts))


def pixel_fingerprints(thumbnail: Image.Image) -> tuple[int, ...]:
    """Fingerprints of rows of a thumbnail's pixels; none where all of it is plain."""
    pixels = np.asarray(thumbnail.convert("RGB"))
    height, width, _ = pixels.shape
    row = width * 3
    starts = [
        line * row + column
        for line in sorted(range(height), key=lambda line: abs(line - height // 2))
        for column in range(0, row - WINDOW + 1, WINDOW)
    ]
    return _chosen(pixels.tobytes(), starts)


def finds(piece: bytes | memoryview, marks: Collection[int]) -> bool:
    """Whether one of these fingerprints is that of 64 bytes anywhere in a piece."""
    if not marks:
        return False
    values = np.frombuffer(piece, np.uint8)
    wanted = np.array(sorted(marks), np.uint64)
    possible = np.zeros(2**16, np.bool_)
    possible[wanted >> np.uint64(48)] = True
    for start in range(0, len(values) - WINDOW + 1, STRIDE):
        hashes = _hashes(values[start : start + STRIDE + WINDOW - 1])
        likely = hashes[possible[hashes >> np.uint64(48)]]
        if len(likely) and np.isin(likely, wanted).any():
            return True
    return False


def found_in_file(store: BaseArtifactStore, uri: str, marks: Collection[int]) -> bool:
    """Whether a file of a store holds the bytes, or shows the pixels, of a picture with these fingerprints.

    Raises:
        OSError: it cannot be read.
    """
    if not uri.endswith(SHOWN_SUFFIXES):
        return any(finds(piece, marks) for piece in read_overlapping(store, uri, overlap=WINDOW - 1))
    data = b"".join(read_overlapping(store, uri))
    return any(finds(piece, marks) for piece in (data, *_shown(data)))


def _shown(data: bytes) -> Iterator[bytes]:
    """The pixels of a PNG; the pictures of a page, and their pixels."""
    for match in INLINE.finditer(data):
        try:
            inner = base64.b64decode(match[1])
        except binascii.Error:
            continue
        yield inner
        yield from _pixels(inner)
    yield from _pixels(data)


def _pixels(data: bytes) -> Iterator[bytes]:
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            yield np.asarray(image.convert("RGB")).tobytes()
    except (OSError, SyntaxError, ValueError):
        return


def _chosen(data: bytes, starts: Sequence[int]) -> tuple[int, ...]:
    """The fingerprints of the first few windows that are not plain."""
    found: list[int] = []
    for start in starts:
        window = np.frombuffer(data[start : start + WINDOW], np.uint8)
        if len(np.unique(window)) >= DISTINCT:
            found.append(int(_hashes(window)[0]))
        if len(found) == PROBES:
            break
    return tuple(dict.fromkeys(found))


def _hashes(values: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The hash of each run of 64 bytes: of 1, 2, 4 … 64, each made of two of half its length."""
    hashes = values.astype(np.uint64) + np.uint64(1)
    power, length = BASE, 1
    with np.errstate(over="ignore"):
        while length < WINDOW:
            hashes = hashes[:-length] * power + hashes[length:]
            power, length = power * power, 2 * length
    return hashes
