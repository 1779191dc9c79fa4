"""Tests of steps/data/picture_measures.py: what each measure says, and that the hash is imagehash's."""

import time

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from serving.preprocess import UPRIGHT
from steps.data.picture_measures import measure
from tests.steps.data.scenes import scene


def flat(level: int, size: tuple[int, int] = (256, 256)) -> Image.Image:
    """A picture of one grey."""
    return Image.new("RGB", size, (level, level, level))


def test_the_hash_is_imagehashs_bit_for_bit() -> None:
    """Up to 511 pixels a side the picture is hashed as it is; 64 bits are 16 hex digits."""
    for number in range(50):
        image = scene(number, size=(64 + 9 * number, 64 + 7 * number))
        hashed = measure(image).phash
        assert hashed == str(imagehash.phash(image))
        assert len(hashed) == 16


def test_a_large_picture_has_the_hash_of_its_reduced_copy() -> None:
    """12 million pixels hash within 4 bits of the small copy, in a fraction of the time."""
    small = scene(1)
    large = small.resize((3000, 4000), Image.Resampling.BICUBIC)
    found, expected = measure(large).phash, measure(small).phash
    assert found is not None
    assert expected is not None
    assert (int(found, 16) ^ int(expected, 16)).bit_count() <= 4


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_turned_picture_is_hashed_upright(orientation: int) -> None:
    """Its stored pixels lie on their side; its EXIF orientation turns them back."""
    upright = scene(2)
    back = {6: 8, 8: 6}.get(orientation, orientation)
    stored = upright.transpose(UPRIGHT[back])
    assert measure(stored, orientation).phash == measure(upright).phash
    assert measure(stored).phash != measure(upright).phash


def test_flat_and_small_pictures_have_no_hash() -> None:
    """They would all hash alike: noise about one grey, or a shorter side of 63 pixels."""
    noise = np.random.default_rng(0).integers(126, 131, (256, 256, 3), dtype=np.uint8)
    assert measure(flat(128)).phash is None
    assert measure(Image.fromarray(noise)).phash is None
    assert measure(scene(3, size=(63, 200))).phash is None
    assert measure(scene(3, size=(64, 200))).phash is not None


def test_brightness_and_contrast_are_those_of_luma() -> None:
    """Mean and standard deviation of Pillow's L, over all pixels."""
    image = scene(4)
    luma = np.asarray(image.convert("L"), dtype=np.float64)
    found = measure(image)
    assert found.brightness == pytest.approx(luma.mean())
    assert found.contrast == pytest.approx(luma.std())
    assert measure(flat(200)).brightness == 200
    assert measure(flat(200)).contrast == 0


def test_saturation_is_0_for_grey_and_255_for_pure_red() -> None:
    """Half of it is in between."""
    assert measure(flat(90)).saturation == 0
    assert measure(Image.new("RGB", (256, 256), (255, 0, 0))).saturation == 255
    half = ImageEnhance.Color(scene(5)).enhance(0.5)
    assert 0 < measure(half).saturation < measure(scene(5)).saturation


def test_blur_takes_sharpness_at_any_size() -> None:
    """A photograph and its double are as sharp; blurred, it keeps less than a fifth."""
    image = scene(6)
    sharp = measure(image).sharpness
    doubled = image.resize((512, 640), Image.Resampling.NEAREST)
    assert measure(doubled).sharpness == pytest.approx(sharp, rel=0.3)
    assert measure(image.filter(ImageFilter.GaussianBlur(2))).sharpness < sharp / 5


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (8, 8), (3, 3)])
def test_the_smallest_pictures_are_measured(size: tuple[int, int]) -> None:
    """What has no neighbours has no sharpness; nothing fails."""
    found = measure(scene(7, size=size))
    assert found.phash is None
    assert found.sharpness >= 0


def test_measuring_costs_under_a_millisecond() -> None:
    """CPU time at 256 pixels: the best of several runs, since the machine does other things too."""
    image = scene(8, size=(256, 256))
    measure(image)
    best = min(_cpu_seconds(image) for _ in range(10))
    assert best < 0.001


def _cpu_seconds(image: Image.Image, runs: int = 10) -> float:
    begun = time.process_time()
    for _ in range(runs):
        measure(image)
    return (time.process_time() - begun) / runs
