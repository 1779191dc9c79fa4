"""A small classifier whose predictor names three classes."""

from __future__ import annotations

import pytest

from materializers.classifier import Classifier
from tests.steps.training.examples import trained


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """Trained for one epoch: what it answers is given by each test."""
    return trained(tmp_path_factory.mktemp("sliced"), epochs=1)
