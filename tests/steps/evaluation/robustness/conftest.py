"""A tiny model that was trained, and what it is examined on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from materializers.classifier import Classifier
from serving.predictor import Predictor
from steps.evaluation.answers import answers
from steps.evaluation.examined import Examined
from tests.steps.training.examples import CLASSES, dataset, splits, trained


def examine(classifier: Classifier) -> Examined:
    """A model on the 12 test pictures of the examples."""
    pictures, predictor = dataset(), Predictor.load(classifier.serving_directory)
    image_ids = sorted(splits(pictures).image_ids("test"))
    true = np.array([CLASSES.index(label) for label in pictures.labels(image_ids)])
    predicted, probabilities = answers(predictor, pictures, image_ids, true, batch_size=64)
    return Examined(classifier, predictor, pictures, tuple(image_ids), true, predicted, probabilities)


@pytest.fixture(scope="session")
def examined(tmp_path_factory: pytest.TempPathFactory) -> Examined:
    """A model that answers every clean picture rightly."""
    model = trained(tmp_path_factory.mktemp("robustness") / "model", epochs=6, learning_rate=0.01)
    found = examine(model)
    assert np.array_equal(found.predicted, found.true)
    return found


@pytest.fixture(scope="session")
def examining() -> Callable[[Classifier], Examined]:
    """How another model is examined on the same pictures."""
    return examine
