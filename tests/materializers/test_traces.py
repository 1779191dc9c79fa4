"""Fingerprints find a picture's bytes and pixels wherever they lie, and nothing else."""

import base64
import io
import os

import numpy as np
import pytest
from PIL import Image
from zenml.artifact_stores import BaseArtifactStore

from materializers.blobs import write_blob
from materializers.picture_sheet import encode_sheet
from materializers.traces import WINDOW, Searched, finds, fingerprints, pixel_fingerprints, search_file
from tests.serving.pictures import bomb

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
    found = {name: search_file(store, f"{store.path}/{name}", marks) for name in files}
    assert found == {"sheet.png": Searched(True), "page.html": Searched(True), "broken.png": Searched(False)}
    assert not search_file(store, f"{store.path}/sheet.png", fingerprints(photograph(4))).found


def test_a_large_file_is_read_in_pieces(store: BaseArtifactStore) -> None:
    """A picture across the border of two pieces of 8 MiB is found."""
    data = photograph(1)
    half = len(data) // 2
    write_blob(store, f"{store.path}/large.arrow", bytes(8 * 2**20 - half) + data)
    assert search_file(store, f"{store.path}/large.arrow", fingerprints(data)[:1]).found


def page(store: BaseArtifactStore, *pictures: bytes, cut: int = 0) -> str:
    """Store a page with these pictures in it, of whose text the last digits are cut, and give its address."""
    texts = [base64.b64encode(data).rstrip(b"=") for data in pictures]
    inside = b" ".join(b"<td>data:image/png;base64," + text[: len(text) - cut] + b"</td>" for text in texts)
    write_blob(store, f"{store.path}/page.html", inside)
    return f"{store.path}/page.html"


def test_a_bomb_in_a_page_is_not_decoded_and_is_told(disk: BaseArtifactStore) -> None:
    """A label or a path may be a picture of any size: it is counted, and the rest of the page is searched."""
    sheet = io.BytesIO()
    Image.open(io.BytesIO(photograph(3, 56))).save(sheet, "PNG")
    marks = pixel_fingerprints(Image.open(io.BytesIO(photograph(3, 56))))
    searched = search_file(disk, page(disk, bomb(), bomb()), marks)
    assert not searched.found
    assert searched.passed_over == ("a PNG of 60,000 × 60,000 pixels, and the limit is 50,000,000",) * 2
    assert search_file(disk, page(disk, bomb(), sheet.getvalue()), marks).found
    write_blob(disk, f"{disk.path}/bomb.png", bomb())
    assert len(search_file(disk, f"{disk.path}/bomb.png", marks, {"ab" * 32}).passed_over) == 1


def test_a_picture_that_cannot_be_decoded_is_told(disk: BaseArtifactStore) -> None:
    """A browser shows what there is of it; nobody can say that it shows none of the pictures."""
    sheet = io.BytesIO()
    Image.open(io.BytesIO(photograph(3, 56))).save(sheet, "PNG")
    for cut in range(400, 404):  # digits, so that what is left is no whole number of bytes
        (why,) = search_file(disk, page(disk, sheet.getvalue(), cut=cut), ()).passed_over
        assert why.startswith("a PNG that cannot be decoded (")


def test_a_sheet_that_says_what_it_shows_is_found_without_a_fingerprint(store: BaseArtifactStore) -> None:
    """A white picture has none: the sheet names it, beside the report and inside its page."""
    sheet = encode_sheet(Image.new("RGB", (60, 60), "white"), {"ab" * 32: [(0, 0, 56, 56)]})
    write_blob(store, f"{store.path}/sheet.png", sheet)
    for uri in (f"{store.path}/sheet.png", page(store, sheet)):
        assert search_file(store, uri, (), {"ab" * 32}) == Searched(True)
        assert search_file(store, uri, (), {"cd" * 32}) == Searched(False)


def test_the_tables_of_a_jpeg_are_no_fingerprint() -> None:
    """They are those of every other one: in a plain picture nothing else is there to know it by."""
    plain = io.BytesIO()
    Image.new("RGB", (64, 64), "white").save(plain, "JPEG")
    assert fingerprints(plain.getvalue()) == ()
    for side in (16, 24, 40):
        assert not finds(photograph(2), fingerprints(photograph(1, side)))
