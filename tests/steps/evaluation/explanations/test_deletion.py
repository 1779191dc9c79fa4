"""What an explanation puts first is deleted, and the served model says what that does to its answer."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import nn

from serving.predictor import Prediction, Predictor
from steps.evaluation.explanations.attributions import blurred, integrated_gradients
from steps.evaluation.explanations.deletion import DeletionTest, delete
from tests.serving.pictures import encode
from tests.steps.evaluation.explanations.examples import (
    CORNER,
    SHARE,
    Corner,
    Deaf,
    served,
    with_checked_corner,
)

PIXELS = with_checked_corner(12)
MISSING = blurred(PIXELS)
CHECKED = np.ones(12, dtype=np.int64)


def deletion_test(predictor: Predictor, seed: int = 0) -> DeletionTest:
    return DeletionTest(predictor, PIXELS, MISSING, CHECKED, SHARE, seed)


def probabilities_of_checked(predictor: Predictor, pixels: np.ndarray) -> np.ndarray:
    """As a request for each picture is answered."""
    answers = predictor.predict([encode(Image.fromarray(each)) for each in pixels])
    return np.array([each.probabilities["checked"] for each in answers if isinstance(each, Prediction)])


def margins(network: nn.Module, directory: Path) -> np.ndarray:
    """By how much Integrated Gradients beat random pixels, picture by picture."""
    test = deletion_test(served(network, directory))
    return test.drops(integrated_gradients(network, PIXELS, MISSING, CHECKED, steps=8)) - test.random_drops(5)


def test_a_network_that_looks_at_a_corner_is_explained_better_than_at_random(tmp_path: Path) -> None:
    """The answer is gone with the corner, and stays without as many pixels drawn at random."""
    found = margins(Corner(), tmp_path)
    assert found.min() > 0.5


def test_a_network_that_ignores_its_input_has_no_margin(tmp_path: Path) -> None:
    """No pixel that goes changes its answer."""
    assert np.abs(margins(Deaf(), tmp_path)).max() < 1e-6


def test_an_explanation_that_points_elsewhere_does_worse_than_random(tmp_path: Path) -> None:
    """The test tells a right explanation from a wrong one of the same network."""
    test = deletion_test(served(Corner(), tmp_path))
    wrong = np.zeros(PIXELS.shape[:3])
    wrong[:, CORNER:, CORNER:] = 1
    assert (test.drops(wrong) < test.random_drops(5)).all()


def test_a_drop_is_one_of_the_probabilities_that_are_served(tmp_path: Path) -> None:
    """With the model's own temperature, from the same uint8 pictures."""
    predictor = served(Corner(), tmp_path, temperature=3.0)
    maps = np.zeros(PIXELS.shape[:3])
    maps[:, :CORNER, :CORNER] = 1
    deleted = delete(PIXELS, MISSING, maps, SHARE, np.random.default_rng(0))
    before, after = (probabilities_of_checked(predictor, shown) for shown in (PIXELS, deleted))
    expected = before - after
    np.testing.assert_allclose(deletion_test(predictor).drops(maps), expected, atol=1e-6)
    assert expected.min() > 0.1


def test_only_the_most_important_pixels_are_missing() -> None:
    """Of each picture its own; every other pixel stays as it was."""
    maps = np.random.default_rng(1).normal(size=PIXELS.shape[:3])
    deleted = delete(PIXELS, MISSING, maps, 0.25, np.random.default_rng(0))
    for picture, missing, left, importance in zip(PIXELS, MISSING, deleted, maps, strict=True):
        gone = importance >= np.sort(importance, axis=None)[-64]
        assert (left[gone] == missing[gone]).all()
        assert (left[~gone] == picture[~gone]).all()


def test_pixels_that_are_equally_important_go_at_random() -> None:
    """Not from the top: a map that says nothing is a random one."""
    deleted = delete(PIXELS, MISSING, np.zeros(PIXELS.shape[:3]), 0.5, np.random.default_rng(0))
    gone = (deleted != PIXELS).any(axis=3)
    upper, lower = gone[:, :8].mean(), gone[:, 8:].mean()
    assert upper == pytest.approx(0.5, abs=0.08)
    assert lower == pytest.approx(0.5, abs=0.08)


def test_the_smallest_share_is_one_pixel() -> None:
    """Never none."""
    deleted = delete(PIXELS, MISSING, np.zeros(PIXELS.shape[:3]), 1e-9, np.random.default_rng(0))
    assert ((deleted != PIXELS).any(axis=3).sum(axis=(1, 2)) == 1).all()


def test_the_same_seed_draws_the_same_pixels(tmp_path: Path) -> None:
    """Another one draws others."""
    predictor = served(Corner(), tmp_path)
    first, again, other = (deletion_test(predictor, seed).random_drops(3) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
