"""Fingerprints find a picture's bytes and pixels wherever they lie, and nothing else."""

import base64
import io
import os

import numpy as np
import pytest
from PIL import Image
from zenml.artifact_stores import BaseArtifactStore

from materializers.blobs import write_blob
from materializers.traces import WINDOW, finds, fingerprints, found_in_file, pixel_fingerprints

NOISE = np.random.default_rng(7)


def photograph(seed: int, side: int = 64) -> bytes:
    """A JPEG of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize("before", [0, 1, 63, 64, 1_000_003, 2**20 - 30])
def test_a_picture_is_found_wherever_it_begins(before: int) -> None:
    """Also across the border of two strides."""
    data = photograph(1)
    marks = fingerprints(data)
    assert len(marks) == 5
    around = NOISE.bytes(before), NOISE.bytes(500)
    assert finds(around[0] + data + around[1], marks)
    assert not finds(around[0] + photograph(2) + around[1], marks)


def test_a_part_of_a_picture_is_found() -> None:
    """The middle third is enough: a file that was cut is no erasure."""
    data = photograph(1)
    assert finds(data[len(data) // 3 : -len(data) // 3], fingerprints(data))


def test_a_fingerprint_is_no_part_of_the_picture() -> None:
    """Whoever has the fingerprints has 8 bytes for each 64, by which nothing is found in themselves."""
    data = photograph(1)
    marks = fingerprints(data)
    assert not finds(b"".join(mark.to_bytes(8, "big") for mark in marks) * 9, marks)
    assert all(mark.to_bytes(8, "big") not in data for mark in marks)


def test_plain_areas_have_no_fingerprint() -> None:
    """Two pictures with a white wall would be found in each other."""
    assert fingerprints(bytes(10_000)) == ()
    assert pixel_fingerprints(Image.new("RGB", (56, 56), "white")) == ()
    assert not finds(os.urandom(1000), ())
    assert not finds(b"short", fingerprints(photograph(1)))
    assert fingerprints(bytes(range(WINDOW - 1))) == ()


def test_the_pixels_of_a_thumbnail_are_found_in_a_sheet_and_in_a_page(store: BaseArtifactStore) -> None:
    """A sheet is compressed and a page is base64: both are looked into, on disk and in a bucket."""
    thumbnail = Image.open(io.BytesIO(photograph(3, 56)))
    marks = pixel_fingerprints(thumbnail)
    sheet = Image.new("RGB", (300, 200), "white")
    sheet.paste(thumbnail, (112, 56))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    inline = base64.b64encode(buffer.getvalue())
    files = {
        "sheet.png": buffer.getvalue(),
        "page.html": b'<img src="data:image/png;base64,' + inline + b'">',
        "broken.png": b"no picture",
    }
    for name, data in files.items():
        write_blob(store, f"{store.path}/{name}", data)
    found = {name: found_in_file(store, f"{store.path}/{name}", marks) for name in files}
    assert found == {"sheet.png": True, "page.html": True, "broken.png": False}
    assert not found_in_file(store, f"{store.path}/sheet.png", fingerprints(photograph(4)))


def test_a_large_file_is_read_in_pieces(store: BaseArtifactStore) -> None:
    """A picture across the border of two pieces of 8 MiB is found."""
    data = photograph(1)
    half = len(data) // 2
    write_blob(store, f"{store.path}/large.arrow", bytes(8 * 2**20 - half) + data)
    assert found_in_file(store, f"{store.path}/large.arrow", fingerprints(data)[:1])
