"""A registered version answers as it is stored now, or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from zenml.client import Client

from materializers.errors import DamagedArtifact, ModelGone
from materializers.evidence import RegisteredVersion
from serving.predictor import Predictor
from steps.registry.registered_model import predictor_of
from tests.steps.evaluation.registered import Made, register_trained
from tests.steps.training.examples import dataset, splits, trained


@pytest.fixture
def made(local_stack: Client, tmp_path: Path) -> Made:
    """A model that a run stores."""
    pictures = dataset()
    return Made(trained(tmp_path / "trained", epochs=1), pictures, splits(pictures))


@pytest.fixture
def entry(made: Made, request: pytest.FixtureRequest) -> RegisteredVersion:
    """Its version in the registry."""
    return register_trained(f"registered-{request.node.name.replace('_', '-')}", made)


def test_it_answers_as_the_model_that_was_trained(made: Made, entry: RegisteredVersion) -> None:
    """And nothing of the copy is left when it was asked."""
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    ours = Predictor.load(made.classifier.serving_directory).scores(images)[0]
    with predictor_of(entry) as predictor:
        assert predictor.digest == made.classifier.record.model_digest
        np.testing.assert_array_equal(predictor.scores(images)[0], ours)


def test_changed_bytes_in_the_store_are_not_run(entry: RegisteredVersion) -> None:
    """The registry's digest is of other bytes; the way back is named."""
    metadata = Path(entry.tag("model_uri")) / "metadata.json"
    metadata.write_bytes(metadata.read_bytes().replace(b"dark", b"lark"))
    with pytest.raises(DamagedArtifact, match=r"The model of version 1 .*--rollback"), predictor_of(entry):
        pass


def test_a_model_that_is_gone_is_said_to_be(entry: RegisteredVersion) -> None:
    """Nothing is made up in its place."""
    shutil.rmtree(entry.tag("model_uri"))
    with pytest.raises(ModelGone), predictor_of(entry):
        pass
