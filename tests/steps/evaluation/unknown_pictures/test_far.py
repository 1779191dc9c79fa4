"""Far unknown pictures show no product at all."""

import numpy as np
import pytest

from steps.evaluation.unknown_pictures.far import KINDS, far_pictures, flat, gradient, noise, stripes, text


@pytest.mark.parametrize("size", [(28, 28), (17, 40), (1, 1)])
def test_every_kind_is_made_as_often_in_the_size_of_the_input(size: tuple[int, int]) -> None:
    """Whatever that is."""
    pixels, kinds = far_pictures(10, *size, np.random.default_rng(0))
    assert pixels.dtype == np.uint8
    assert pixels.shape == (10, *size, 3)
    assert {kind: kinds.count(kind) for kind in KINDS} == dict.fromkeys(KINDS, 2)


def test_the_same_seed_makes_the_same_pictures() -> None:
    """And another one does not."""
    first, again, other = (far_pictures(10, 28, 28, np.random.default_rng(seed))[0] for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_a_flat_picture_has_one_colour_and_stripes_have_two() -> None:
    """Each."""
    generator = np.random.default_rng(0)
    assert len(np.unique(flat(28, 28, generator).reshape(-1, 3), axis=0)) == 1
    for _ in range(20):
        striped = stripes(28, 28, generator).reshape(-1, 3)
        colours, counts = np.unique(striped, axis=0, return_counts=True)
        assert len(colours) == 2
        assert counts.min() > 0.2 * len(striped)


def test_a_gradient_has_no_edge() -> None:
    """Neighbours differ by little, the ends by much."""
    made = gradient(64, 64, np.random.default_rng(0)).astype(int)
    steps = max(np.abs(np.diff(made, axis=axis)).max() for axis in (0, 1))
    assert steps < 10
    assert np.ptp(made, axis=(0, 1)).max() > 50


def test_text_is_dark_on_light() -> None:
    """Some of it is ink; every picture has other letters."""
    generator = np.random.default_rng(0)
    pages = [text(64, 64, generator).mean(axis=2) for _ in range(5)]
    for page in pages:
        assert 0.02 < (page < 128).mean() < 0.5
    assert len({page.tobytes() for page in pages}) == 5


def test_noise_has_every_value() -> None:
    """Evenly."""
    values = np.bincount(noise(100, 100, np.random.default_rng(0)).reshape(-1), minlength=256)
    assert values.min() > 0.6 * values.mean()
