"""What is done to pictures before they are asked about again."""

import io

import numpy as np
import pytest
from PIL import Image

from serving.model_directory import Preprocessing
from serving.preprocess import decode
from steps.evaluation.behaviour.changes import covered, encoded_anew, flipped, lit, shifted
from tests.serving.pictures import encode, gradient

PICTURES = np.random.default_rng(0).integers(0, 256, (4, 10, 20, 3), dtype=np.uint8)


def test_a_flip_changes_sides_and_twice_nothing() -> None:
    """The left column becomes the right one."""
    assert np.array_equal(flipped(PICTURES)[:, :, 0], PICTURES[:, :, -1])
    assert np.array_equal(flipped(flipped(PICTURES)), PICTURES)


def test_a_shift_moves_each_picture_its_own_way_and_its_edge_fills_the_room() -> None:
    """A tenth of 10 × 20 pixels: one down or up, two right or left."""
    moved = shifted(PICTURES, 0.1, np.array([0, 1, 2, 3]))
    right, left, down, up = moved
    assert np.array_equal(right[:, 2:], PICTURES[0][:, :-2])
    assert np.array_equal(right[:, 0], PICTURES[0][:, 0])
    assert np.array_equal(left[:, :-2], PICTURES[1][:, 2:])
    assert np.array_equal(down[1:], PICTURES[2][:-1])
    assert np.array_equal(up[:-1], PICTURES[3][1:])
    assert np.array_equal(up[-1], PICTURES[3][-1])


def test_a_small_picture_is_shifted_by_a_pixel() -> None:
    """A share that rounds to nothing would leave every answer as it is."""
    assert not np.array_equal(shifted(PICTURES, 0.001, np.zeros(4, dtype=np.int64)), PICTURES)


def test_light_is_a_factor_that_ends_at_white() -> None:
    """Black stays black, and what is bright does not wrap around to dark."""
    pixels = np.array([0, 100, 250], dtype=np.uint8).reshape(1, 1, 3, 1).repeat(3, axis=3)
    assert lit(pixels, 1.1)[0, 0, :, 0].tolist() == [0, 110, 255]
    assert lit(pixels, 0.9)[0, 0, :, 0].tolist() == [0, 90, 225]


def test_a_cover_hides_the_middle_under_the_pictures_own_mean() -> None:
    """Half of each side; what lies around it stays, and so do the pictures that were given."""
    before = PICTURES.copy()
    hidden = covered(PICTURES, 0.5)
    changed = (hidden != PICTURES).any(axis=(0, 3))
    assert changed[2:7, 5:15].any()
    changed[2:7, 5:15] = False
    assert not changed.any()
    assert hidden[1, 4, 10].tolist() == np.rint(PICTURES[1].mean(axis=(0, 1))).tolist()
    assert np.array_equal(PICTURES, before)


def test_a_png_of_a_stored_picture_is_decoded_to_the_same_pixels() -> None:
    """What is lost nowhere changes nothing, a turned picture included."""
    size = Preprocessing(height=16, width=24)
    data = encode(gradient(120, 80), "JPEG")
    anew = encoded_anew(data, 6, "PNG", quality=90)
    with Image.open(io.BytesIO(anew)) as image:
        assert (image.format, image.size) == ("PNG", (80, 120))
    full = size.model_copy(update={"decode_scale": 0})
    assert np.array_equal(decode(anew, full), decode(data, full, orientation=6))


def test_a_jpeg_has_the_quality_that_was_asked_for() -> None:
    """A lower one is smaller, and further from the picture."""
    picture = gradient(64, 64)
    data = encode(picture)
    fine, coarse = (encoded_anew(data, 1, "JPEG", quality=quality) for quality in (95, 20))
    assert len(coarse) < len(fine) < len(data)
    pixels = np.asarray(picture, dtype=np.int64)

    def error(anew: bytes) -> float:
        return float(np.abs(np.asarray(Image.open(io.BytesIO(anew)), dtype=np.int64) - pixels).mean())

    assert 0 < error(fine) < error(coarse)


def test_a_large_photograph_is_made_smaller_first() -> None:
    """So that a PNG of it is a matter of milliseconds; its shape stays."""
    anew = encoded_anew(encode(Image.new("RGB", (3000, 1500), "teal"), "JPEG"), 1, "PNG", quality=90)
    with Image.open(io.BytesIO(anew)) as image:
        assert image.width * image.height <= 1_000_500
        assert image.width / image.height == pytest.approx(2, rel=0.01)
