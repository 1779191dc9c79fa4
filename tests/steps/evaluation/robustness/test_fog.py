"""Fog is drawn from its seed, is as thick as it is asked to be, and goes from coarse to fine."""

import numpy as np
import pytest

from steps.evaluation.robustness.fog import fog, plasma


def clouds(side: int, decay: float = 2.0, seed: int = 0) -> np.ndarray:
    return plasma(side, decay, np.random.default_rng(seed))


@pytest.mark.parametrize(("side", "power"), [(1, 1), (2, 2), (28, 32), (32, 32), (33, 64), (224, 256)])
def test_a_plasma_is_a_square_of_a_power_of_two(side: int, power: int) -> None:
    """Its values go from 0 to 1."""
    found = clouds(side)
    assert found.shape == (power, power)
    assert found.min() == 0
    assert found.max() == (1 if power > 1 else 0)


def test_the_weaker_the_finer_layers_the_smoother_is_the_plasma() -> None:
    """Neighbours differ less at a larger decay, over every edge of the torus too."""
    rough, smooth = (
        np.mean(
            [
                np.abs(np.diff(clouds(64, decay, seed), axis=0, append=clouds(64, decay, seed)[:1])).mean()
                for seed in range(10)
            ]
        )
        for decay in (1.4, 3.0)
    )
    assert smooth < rough / 2


def test_a_finer_layer_lies_between_the_coarser_ones() -> None:
    """Without displacement each new place is the mean of the four around it, over the edges too."""
    heights = clouds(8, decay=1e12)
    rows, columns = np.indices(heights.shape)

    def mean(*steps: tuple[int, int]) -> np.ndarray:
        return np.asarray(np.mean([np.roll(heights, step, axis=(0, 1)) for step in steps], axis=0))

    middles, edges = (rows % 2 == 1) & (columns % 2 == 1), rows % 2 != columns % 2
    diagonal, straight = mean((1, 1), (1, -1), (-1, 1), (-1, -1)), mean((0, 1), (0, -1), (1, 0), (-1, 0))
    np.testing.assert_allclose(heights[middles], diagonal[middles], atol=1e-9)
    np.testing.assert_allclose(heights[edges], straight[edges], atol=1e-9)


def test_a_white_picture_in_fog_is_as_bright_as_the_formula_says() -> None:
    """(1 + thickness × clouds) / (1 + thickness): white where it is thickest."""
    white = np.full((1, 28, 20, 3), 255, np.uint8)
    found = fog(white, 1.5, 2.0, [7])
    expected = (1 + 1.5 * clouds(28, 2.0, 7)[:28, :20]) / 2.5
    np.testing.assert_allclose(
        found[0] / 255, np.repeat(expected[..., None], 3, axis=2), atol=0.5 / 255 + 1e-9
    )
    assert found.min() >= 255 / 2.5 - 0.5


def test_fog_is_white_and_hides_what_is_behind_it() -> None:
    """All colours are lifted alike, and the picture's own contrast goes down."""
    picture = np.zeros((1, 32, 32, 3), np.uint8)
    picture[:, :, 16:] = (200, 100, 50)
    found = fog(picture, 2.0, 2.0, [3]).astype(int)
    left, right = found[0, :, :16], found[0, :, 16:]
    assert np.array_equal(left[..., 0], left[..., 1])
    assert left.mean() > 20
    assert (right - left[:, ::-1])[..., 0].mean() < 100


def test_each_seed_has_a_fog_of_its_own() -> None:
    """And the same one again."""
    picture = np.full((2, 16, 16, 3), 128, np.uint8)
    found = fog(picture, 1.0, 2.0, [1, 2])
    assert not np.array_equal(found[0], found[1])
    assert np.array_equal(found, fog(picture, 1.0, 2.0, [1, 2]))


def test_a_black_picture_stays_black() -> None:
    """The paper scales fog to the picture's own range, which is none."""
    assert not fog(np.zeros((1, 8, 8, 3), np.uint8), 1.5, 2.0, [0]).any()
