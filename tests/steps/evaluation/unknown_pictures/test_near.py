"""Near unknown pictures are made of test pictures, and show no product any more."""

from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from steps.evaluation.unknown_pictures.near import (
    ALONE,
    KINDS,
    OF_TWO,
    blend,
    elastic,
    halves,
    jigsaw,
    near_pictures,
)

Pixels = NDArray[np.uint8]
SIZES = [(28, 28), (17, 23), (3, 5), (1, 1)]


def picture(seed: int, height: int = 28, width: int = 28) -> Pixels:
    """A bright disc on dark ground, with a texture of its own."""
    generator = np.random.default_rng(seed)
    rows, columns = np.indices((height, width))
    inside = (rows - height / 2) ** 2 + (columns - width / 2) ** 2 < (min(height, width) / 3) ** 2
    values = generator.integers(0, 40, (height, width, 3)) + 180 * inside[..., None]
    return cast(Pixels, values.astype(np.uint8))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_keeps_the_size_and_the_originals(kind: str, size: tuple[int, int]) -> None:
    """Whatever the size, the result is uint8 of that size, and what it was made of is as before."""
    own, other = picture(0, *size), picture(1, *size)
    before = own.copy(), other.copy()
    made = (ALONE | OF_TWO)[kind](own, other, np.random.default_rng(0))
    assert made.dtype == np.uint8
    assert made.shape == (*size, 3)
    assert (own == before[0]).all()
    assert (other == before[1]).all()


def test_a_jigsaw_has_the_same_pixels_elsewhere() -> None:
    """Nothing is lost and little is where it was; what does not fill a piece stays."""
    own = picture(0)
    made = jigsaw(own, own, np.random.default_rng(0))
    assert sorted(map(tuple, made.reshape(-1, 3))) == sorted(map(tuple, own.reshape(-1, 3)))
    assert (made == own).all(axis=2).mean() < 0.3
    odd = picture(0, 30, 31)
    made = jigsaw(odd, odd, np.random.default_rng(0))
    assert (made[28:] == odd[28:]).all()
    assert (made[:, 28:] == odd[:, 28:]).all()


def test_an_elastic_picture_has_another_outline() -> None:
    """A third of the disc's pixels are ground now, or the ground's disc."""
    own = picture(0, 64, 64)
    made = elastic(own, own, np.random.default_rng(0))
    moved = (made.mean(axis=2) > 128) != (own.mean(axis=2) > 128)
    assert moved.mean() > 0.1
    assert made.max() <= own.max()


def test_two_halves_are_the_left_of_one_and_the_right_of_another() -> None:
    """To the pixel."""
    own, other = picture(0), picture(1)
    made = halves(own, other, np.random.default_rng(0))
    assert (made[:, :14] == own[:, :14]).all()
    assert (made[:, 14:] == other[:, 14:]).all()


def test_a_blend_is_the_mean_of_both() -> None:
    """Without an overflow of bright pixels."""
    own, other = np.full((4, 4, 3), 250, np.uint8), np.full((4, 4, 3), 200, np.uint8)
    assert (blend(own, other, np.random.default_rng(0)) == 225).all()


def test_each_picture_makes_one_and_partners_are_of_another_class() -> None:
    """Every kind as often; what is put together is of two classes."""
    pixels = np.stack([picture(seed) for seed in range(20)])
    classes = np.arange(20) // 4
    made, kinds, partners = near_pictures(pixels, classes, np.random.default_rng(0))
    assert made.shape == pixels.shape
    assert {kind: kinds.count(kind) for kind in KINDS} == dict.fromkeys(KINDS, 5)
    for row, kind in enumerate(kinds):
        assert (classes[partners[row]] != classes[row]) == (kind in OF_TWO)


def test_of_one_class_nothing_is_put_together() -> None:
    """Two halves of the same class may be a product."""
    pixels = np.stack([picture(seed) for seed in range(4)])
    _, kinds, partners = near_pictures(pixels, np.zeros(4, np.int64), np.random.default_rng(0))
    assert set(kinds) == set(ALONE)
    assert partners.tolist() == [0, 1, 2, 3]


def test_the_same_seed_makes_the_same_pictures() -> None:
    """And another one does not."""
    pixels, classes = np.stack([picture(seed) for seed in range(8)]), np.arange(8)
    first, again, other = (
        near_pictures(pixels, classes, np.random.default_rng(seed))[0] for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()
