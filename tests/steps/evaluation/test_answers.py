"""What is evaluated is what serving answers."""

from pathlib import Path

import numpy as np
import pytest

from materializers.image_dataset import ImageDataset, Picture, picture_digest
from serving.predictor import Prediction, Predictor
from serving.strip_metadata import strip_metadata
from steps.evaluation.answers import answers
from tests.serving.pictures import encode, exif, gradient
from tests.steps.training.examples import trained


def test_a_stored_picture_is_measured_as_serving_answers_it(tmp_path: Path) -> None:
    """With the orientation that was cut out of its file and kept in the index."""
    classifier = trained(tmp_path, epochs=1)
    delivered = [encode(gradient(90, 40, seed), "JPEG", exif=exif(6)) for seed in range(3)]
    stored = [strip_metadata(data) for data in delivered]
    kept = ImageDataset.from_pictures(
        Picture(one.data, "dark", one.width, one.height, one.orientation, "photo.jpg") for one in stored
    )
    predictor = Predictor.load(classifier.serving_directory)
    image_ids = [picture_digest(one.data) for one in stored]
    _, probabilities = answers(predictor, kept, image_ids, np.zeros(3, dtype=np.int64), batch_size=2)
    for row, data in zip(probabilities.tolist(), delivered, strict=True):
        (answer,) = predictor.predict([data])
        assert isinstance(answer, Prediction)
        assert row == pytest.approx(list(answer.probabilities.values()), abs=1e-6)
    (lying,) = predictor.predict([stored[0].data])
    assert isinstance(lying, Prediction)
    assert probabilities[0].tolist() != pytest.approx(list(lying.probabilities.values()), abs=1e-6)
