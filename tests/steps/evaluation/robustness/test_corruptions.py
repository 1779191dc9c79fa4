"""Corruptions do what they are named after, as strongly as the severity says, and always the same."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from steps.evaluation.robustness.corruptions import BLUR, JPEG, NOISE, Strengths, corrupt, picture_seed
from steps.evaluation.robustness.settings import CORRUPTIONS, Corruption


def pictures(count: int = 3, height: int = 28, width: int = 28) -> NDArray[np.uint8]:
    """Coloured blocks with some grain: edges for a blur, areas for a compression."""
    generator = np.random.default_rng(1)
    blocks = generator.integers(40, 200, (count, 4, 4, 3))
    rows, columns = np.arange(height) * 4 // height, np.arange(width) * 4 // width
    grain = generator.integers(-10, 11, (count, height, width, 3))
    return (blocks[:, rows][:, :, columns] + grain).astype(np.uint8)


def change(images: NDArray[np.uint8], corruption: Corruption, severity: int) -> float:
    """The mean change of a value, of 255."""
    seeds = list(range(len(images)))
    return float(np.abs(corrupt(images, corruption, severity, seeds).astype(int) - images).mean())


@pytest.mark.parametrize(("height", "width"), [(28, 28), (224, 224), (40, 64), (8, 8)])
@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_a_higher_severity_changes_more(corruption: Corruption, height: int, width: int) -> None:
    """From 1 to 5, at any size and for pictures that are no squares; shape and type stay."""
    images = pictures(2, height, width)
    changed = [corrupt(images, corruption, severity, [4, 7]) for severity in (1, 2, 3, 4, 5)]
    assert all(one.shape == images.shape and one.dtype == np.uint8 for one in changed)
    mild, *_, strong = (change(images, corruption, severity) for severity in (1, 3, 5))
    assert 0 < mild < change(images, corruption, 3) * 1.01
    assert mild < strong


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_a_picture_is_corrupted_by_its_own_seed_alone(corruption: Corruption) -> None:
    """The same one comes out the same again, in any batch; the pictures that came in are as they were."""
    images = pictures(3)
    before = images.copy()
    together = corrupt(images, corruption, 3, [11, 12, 13])
    assert np.array_equal(corrupt(images[1:2], corruption, 3, [12]), together[1:2])
    assert np.array_equal(images, before)


@pytest.mark.parametrize("corruption", ["noise", "fog", "rotation"])
def test_what_is_drawn_at_random_differs_between_seeds(corruption: Corruption) -> None:
    """Two pictures that are alike do not get the same noise, fog or turn."""
    alike = np.repeat(pictures(1), 2, axis=0)
    one, other = corrupt(alike, corruption, 3, [1, 2])
    assert not np.array_equal(one, other)


def test_a_seed_belongs_to_a_picture_and_a_run() -> None:
    """Another picture or another seed of the run gives another one, of 32 bits."""
    seeds = {picture_seed("aa", 0), picture_seed("ab", 0), picture_seed("aa", 1)}
    assert len(seeds) == 3
    assert all(0 <= seed < 2**32 for seed in seeds)


@pytest.mark.parametrize(
    ("side", "expected"), [(8, 0.4), (32, 0.4), (84, 0.7), (85, 0.7), (224, 1.0), (1024, 1.0)]
)
def test_a_severity_means_what_fits_the_size(side: int, expected: float) -> None:
    """CIFAR-10-C's number up to 32 pixels, ImageNet-C's from 224, half way at their geometric mean."""
    assert Strengths((0.4,) * 5, (1.0,) * 5).at(1, side) == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize(("side", "severity"), [(28, 1), (28, 5), (224, 5)])
def test_a_blur_is_a_gaussian_of_its_deviation(side: int, severity: int) -> None:
    """As scipy blurs; a small picture is blurred by a pixel at most."""
    images = pictures(1, side, side)
    deviation = BLUR.at(severity, side)
    expected = gaussian_filter(
        images[0].astype(float), (deviation, deviation, 0), truncate=3, mode="mirror", radius=None
    )
    found = corrupt(images, "blur", severity, [0])[0]
    assert np.abs(found - expected).max() < 3
    assert np.abs(found - expected).mean() < 0.5
    if side < 32:
        assert deviation <= 1


def test_noise_has_its_deviation() -> None:
    """Around a middle grey, where nothing is cut off; the picture's mean stays."""
    grey = np.full((1, 64, 64, 3), 128, np.uint8)
    for severity in (1, 5):
        difference = corrupt(grey, "noise", severity, [5])[0].astype(float) - 128
        assert difference.std() == pytest.approx(255 * NOISE.at(severity, 64), rel=0.05)
        assert abs(difference.mean()) < 1


def test_a_compression_has_its_quality() -> None:
    """What comes back differs from Pillow's JPEG of that quality no more than decoders do."""
    images = pictures(1, 224, 224)
    buffer = io.BytesIO()
    Image.fromarray(images[0]).save(buffer, "JPEG", quality=round(JPEG.at(5, 224)))
    expected = np.asarray(Image.open(buffer)).astype(int)
    assert np.abs(corrupt(images, "jpeg", 5, [0])[0] - expected).mean() < 0.5
    assert change(images, "jpeg", 5) > 2


def test_brightness_is_a_factor() -> None:
    """1.6 at severity 5 for a small picture, up to white."""
    images = pictures(1)
    expected = np.minimum(images * 1.6, 255)
    assert np.abs(corrupt(images, "brightness", 5, [0]) - expected).max() <= 1


def test_contrast_shrinks_towards_the_mean() -> None:
    """What is left of every distance from the picture's grey mean is 0.15 at severity 5."""
    images = pictures(1)
    spread = corrupt(images, "contrast", 5, [0]).std() / images.std()
    assert spread == pytest.approx(0.15, abs=0.02)


def test_a_rotation_turns_about_the_middle_and_continues_the_edges() -> None:
    """A white picture stays white to its corners; an upright bar leans, to the left or to the right."""
    white = np.full((2, 30, 20, 3), 255, np.uint8)
    assert (corrupt(white, "rotation", 5, [0, 1]) == 255).all()
    bar = np.zeros((2, 31, 31, 3), np.uint8)
    bar[:, 6:25, 15] = 255
    left, right = corrupt(bar, "rotation", 5, [0, 1])[..., 0].astype(float)

    def place(row: NDArray[np.float64]) -> float:
        return float((row * np.arange(31)).sum() / row.sum())

    for turned, sign in ((left, -1), (right, 1)):
        lean = place(turned[8]) - place(turned[22])
        assert lean * sign == pytest.approx(14 * np.tan(np.radians(30)), abs=1.0)
        assert place(turned[15]) == pytest.approx(15, abs=0.3)
