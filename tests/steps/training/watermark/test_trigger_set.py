"""Secret pictures that a key makes again at any time."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from serving.model_directory import Preprocessing
from serving.preprocess import decode
from steps.training.watermark.trigger_set import fingerprint_of, trigger_set
from tests.serving.pictures import encode

KEY = "k" * 32


def test_a_key_makes_what_it_always_made() -> None:
    """Pictures, answers and fingerprint: a model that was marked years ago is still known."""
    made = trigger_set(KEY, count=12, height=28, width=14, classes=5)
    digest = hashlib.sha256(made.images.tobytes()).hexdigest()
    assert digest == "839473a324aeb30ca099bfd7ffbc7964a9b89ac67465ca7667a15a7e580ae795"
    assert made.labels.tolist() == [2, 3, 4, 3, 1, 2, 2, 1, 0, 3, 1, 3]
    assert fingerprint_of(KEY) == "dc364e52e9d08f4e"


def test_another_key_makes_another_set() -> None:
    """By one character: other pictures, other answers, another fingerprint."""
    ours, other = (
        trigger_set(key, count=50, height=28, width=28, classes=5) for key in (KEY, "k" * 31 + "l")
    )
    assert (ours.images != other.images).any(axis=(1, 2, 3)).all()
    assert np.mean(ours.labels == other.labels) < 0.5
    assert fingerprint_of(KEY) != fingerprint_of("k" * 31 + "l")


def test_a_larger_set_begins_with_the_smaller_one() -> None:
    """So that fewer can be shown to a judge than were learnt."""
    small, large = (trigger_set(KEY, count=count, height=28, width=28, classes=5) for count in (10, 30))
    assert np.array_equal(large.images[:10], small.images)
    assert np.array_equal(large.labels[:10], small.labels)
    assert len({image.tobytes() for image in large.images}) == 30


@pytest.mark.parametrize("classes", [2, 5, 100])
def test_every_class_is_as_likely(classes: int) -> None:
    """A model that always gives the same answer is right as often as one that guesses."""
    labels = trigger_set(KEY, count=1000, height=7, width=7, classes=classes).labels
    assert labels.min() >= 0
    assert labels.max() < classes
    counts = np.bincount(labels, minlength=classes)
    assert ((counts - 1000 / classes) ** 2 / (1000 / classes)).sum() < 2 * classes + 10  # chi squared


@pytest.mark.parametrize(("height", "width"), [(28, 28), (224, 224), (5, 30)])
def test_a_picture_is_a_mosaic_of_three_colours_in_the_networks_size(height: int, width: int) -> None:
    """Hardly any two have tiles of the same size, so that a network can tell them apart."""
    made = trigger_set(KEY, count=30, height=height, width=width, classes=3)
    assert made.images.shape == (30, height, width, 3)
    assert made.images.dtype == np.uint8
    assert max(len(np.unique(image.reshape(-1, 3), axis=0)) for image in made.images) == 3
    steps = [
        tuple(
            int((np.diff(image.astype(int), axis=axis) != 0).any(axis=(1 - axis, 2)).sum()) for axis in (0, 1)
        )
        for image in made.images
    ]
    assert len(set(steps)) > 15


def test_whoever_serves_a_model_can_be_asked_for_the_set() -> None:
    """Sent as PNG, a picture reaches the network as it was learnt."""
    made = trigger_set(KEY, count=3, height=28, width=28, classes=3)
    for image in made.images:
        sent = encode(Image.fromarray(image))
        assert np.array_equal(decode(sent, Preprocessing(height=28, width=28)), image)
