"""Attacks mislead the network they follow, and stay within what they are allowed."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from serving.predictor import probabilities
from steps.evaluation.examined import Examined
from steps.evaluation.robustness.attacks import ATTACKS, Attack, attacked, within
from steps.evaluation.torch_network import Logits, load_network


@pytest.fixture(scope="module")
def network(examined: Examined) -> Logits:
    """What is attacked."""
    return load_network(examined.classifier)


def changed(
    examined: Examined, network: Logits, attack: Attack, epsilon: int, seed: int = 0, steps: int = 10
) -> NDArray[np.uint8]:
    images = examined.pixels(np.arange(len(examined.image_ids)))
    return attacked(
        network, images, examined.true, classes=3, attack=attack, epsilon=epsilon, steps=steps, seed=seed
    )


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("epsilon", [1, 2, 60])
def test_no_value_is_changed_by_more_than_epsilon(
    examined: Examined, network: Logits, attack: Attack, epsilon: int
) -> None:
    """After rounding to whole values too; and some value is changed by all of it."""
    images = examined.pixels(np.arange(len(examined.image_ids)))
    found = changed(examined, network, attack, epsilon)
    distance = np.abs(found.astype(int) - images)
    assert found.shape == images.shape
    assert found.dtype == np.uint8
    assert distance.max() == epsilon


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_misleads_where_as_much_noise_does_not(
    examined: Examined, network: Logits, attack: Attack
) -> None:
    """100 of 255 along the gradient turn most answers of a model that changes of 100 by chance do not."""
    images = examined.pixels(np.arange(len(examined.image_ids)))
    signs = np.random.default_rng(0).choice([-100, 100], images.shape)
    noisy = np.clip(images.astype(int) + signs, 0, 255).astype(np.uint8)

    def accuracy(shown: NDArray[np.uint8]) -> float:
        return float((examined.predictor.scores(shown)[0].argmax(axis=1) == examined.true).mean())

    assert accuracy(noisy) > accuracy(changed(examined, network, attack, 100)) + 0.3


def test_many_steps_mislead_more_than_one(examined: Examined, network: Logits) -> None:
    """PGD leaves less of the probability of the true class than FGSM, at the same ε."""

    def left(attack: Attack) -> float:
        logits = examined.predictor.scores(changed(examined, network, attack, 60))[0]
        return float(probabilities(logits, 1.0)[np.arange(len(logits)), examined.true].mean())

    assert left("PGD") < left("FGSM") - 0.1


def test_the_random_start_follows_its_seed_alone(examined: Examined, network: Logits) -> None:
    """The same seed gives the same pictures whatever numpy drew before, which goes on as if nothing was."""
    np.random.seed(5)
    one = changed(examined, network, "PGD", 8, seed=1)
    drawn = np.random.random()
    np.random.seed(5)
    assert np.random.random() == drawn
    assert np.array_equal(changed(examined, network, "PGD", 8, seed=1), one)
    assert not np.array_equal(changed(examined, network, "PGD", 8, seed=2), one)


def test_one_step_of_pgd_is_within_bounds_too(examined: Examined, network: Logits) -> None:
    """A step that goes beyond is brought back."""
    images = examined.pixels(np.arange(len(examined.image_ids)))
    found = changed(examined, network, "PGD", 4, steps=1)
    assert np.abs(found.astype(int) - images).max() <= 4


def test_a_model_of_two_classes_can_be_attacked(examined: Examined, network: Logits) -> None:
    """Gradients lead from one to the other."""

    class Two(Logits):
        def forward(self, images):  # type: ignore[no-untyped-def]
            return super().forward(images)[:, :2]

    images = examined.pixels(np.flatnonzero(examined.true < 2))
    true = examined.true[examined.true < 2]
    found = attacked(
        Two(network.network).eval(), images, true, classes=2, attack="FGSM", epsilon=2, steps=1, seed=0
    )
    assert np.abs(found.astype(int) - images).max() == 2


def test_the_toolbox_says_nothing(
    examined: Examined, network: Logits, caplog: pytest.LogCaptureFixture
) -> None:
    """Its own rates are of other pictures than those that are scored."""
    with caplog.at_level(logging.INFO):
        changed(examined, network, "FGSM", 2)
        changed(examined, network, "PGD", 2)
    assert not [record for record in caplog.records if record.name.startswith("art")]


@given(
    st.lists(st.tuples(st.integers(0, 255), st.floats(-300, 600)), min_size=1),
    st.integers(1, 255),
)
def test_whatever_was_found_is_brought_within(values: list[tuple[int, float]], epsilon: int) -> None:
    """Whole values from 0 to 255, within ε, and the nearest such to what was found."""
    images = np.array([value for value, _ in values], np.uint8)
    found = np.array([value for _, value in values], np.float32)
    result = within(found, images, epsilon)
    assert result.dtype == np.uint8
    assert np.abs(result.astype(int) - images).max() <= epsilon
    lowest, highest = (
        np.maximum(images.astype(int) - epsilon, 0),
        np.minimum(images.astype(int) + epsilon, 255),
    )
    inside = (found >= lowest) & (found <= highest)
    assert np.all(np.abs(result[inside] - found[inside]) <= 0.5)
