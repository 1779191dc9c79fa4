"""Find the bytes of a picture again in any file, by fingerprints that tell nothing of the picture.

A fingerprint is the 64-bit polynomial hash of 64 bytes from the middle of the encoded picture (of a JPEG:
its entropy-coded part), or of 64 bytes of a row of its thumbnail's pixels. Every place of a file is hashed
and compared (Rabin & Karp 1987), so that a copy is found wherever it begins; the fingerprints may be kept
when the picture may not, and the proof be made again at any time.
"""

from __future__ import annotations

import base64
import io
import re
import struct
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from materializers.errors import DamagedArtifact
from materializers.picture_sheet import places_of
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
INLINE = re.compile(rb"data:image/[a-z]+;base64,([A-Za-z0-9+/]+)")
SHOWN_SUFFIXES = (".png", ".html")
"""What is looked into besides its bytes: a picture's pixels, and the pictures inside a page."""
SHARES = (0.5, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Where fingerprints are taken, in parts of the picture's length."""
JPEG, JPEG_SCAN = b"\xff\xd8", b"\xff\xda"
PNG, PNG_SIZE = b"\x89PNG\r\n\x1a\n", struct.Struct(">II")
MOST_PIXELS = 50_000_000
"""Of a PNG that is looked into: a sheet of 1,000 classes has 40 million. Whoever delivers may name a picture
``data:image/png;base64,…``, and that text gets into pages."""


@dataclass(frozen=True)
class Searched:
    """What looking into one file came to.

    Attributes:
        found: whether it holds the bytes, or shows the pixels, of one of the pictures.
        passed_over: why nobody can say of each thing in it that could not be looked into.
    """

    found: bool
    passed_over: tuple[str, ...] = ()


class Opaque(Exception):
    """Something cannot be looked into safely; the message says why."""


def fingerprints(data: bytes) -> tuple[int, ...]:
    """Fingerprints of an encoded picture, from its middle; none where it is under 64 bytes, or plain.

    Of a JPEG what stands before its first scan is left out: its tables are those of others.
    """
    first = max(0, data.find(JPEG_SCAN)) if data.startswith(JPEG) else 0
    room = len(data) - WINDOW - first
    starts = [first + round(room * share) for share in SHARES] if room >= 0 else []
    return _chosen(data, list(dict.fromkeys(starts)))


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


def search_file(
    store: BaseArtifactStore, uri: str, marks: Collection[int], digests: Collection[str] = ()
) -> Searched:
    """Look whether a file holds the bytes of a picture, shows its pixels, or says that it shows it.

    Args:
        store: where it lies.
        uri: its address.
        marks: fingerprints of the pictures' bytes and of their thumbnails' pixels.
        digests: of the pictures; a sheet of thumbnails, of whatever size, says which it shows.

    Raises:
        OSError: it cannot be read.
    """
    if not uri.endswith(SHOWN_SUFFIXES):
        return Searched(
            any(finds(piece, marks) for piece in read_overlapping(store, uri, overlap=WINDOW - 1))
        )
    data = b"".join(read_overlapping(store, uri))
    found, passed_over = False, list[str]()
    for picture in chain((data,), _inline(data)):
        try:
            found = found or finds(picture, marks) or finds(_pixels(picture), marks) or says(picture, digests)
        except Opaque as error:
            passed_over.append(str(error))
    return Searched(found, tuple(passed_over))


def _inline(data: bytes) -> Iterator[bytes]:
    """The pictures inside a page, as a browser reads them: without a last digit that is half a byte."""
    for match in INLINE.finditer(data):
        text = match[1][: len(match[1]) - (len(match[1]) % 4 == 1)]
        yield base64.b64decode(text + b"=" * (-len(text) % 4))


def _pixels(data: bytes) -> bytes:
    """The pixels of a PNG, RGB; none of what is no PNG.

    Raises:
        Opaque: it cannot be decoded, or not safely.
    """
    if not data.startswith(PNG) or len(data) < len(PNG) + 8 + PNG_SIZE.size:
        return b""
    width, height = PNG_SIZE.unpack_from(data, len(PNG) + 8)
    if width * height > MOST_PIXELS:
        raise Opaque(f"a PNG of {width:,} × {height:,} pixels, and the limit is {MOST_PIXELS:,}")
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            return np.asarray(image.convert("RGB")).tobytes()
    except Exception as error:  # its parsers raise whatever they trip over
        raise Opaque(f"a PNG that cannot be decoded ({error})") from error


def shows(data: bytes, marks: Collection[int]) -> bool:
    """Whether this is a PNG with pixels of one of these pictures; not where it cannot be looked into."""
    try:
        return finds(_pixels(data), marks)
    except Opaque:
        return False


def says(data: bytes, digests: Collection[str]) -> bool:
    """Whether this is a sheet of thumbnails that says that it shows one of these pictures."""
    if not digests or not data.startswith(PNG):
        return False
    try:
        places = places_of(data)
    except DamagedArtifact:
        return False
    return places is not None and not places.keys().isdisjoint(digests)


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
