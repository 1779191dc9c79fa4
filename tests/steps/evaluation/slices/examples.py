"""Test pictures with columns, and a model that is wrong where it is told to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materializers.classifier import Classifier
from materializers.image_dataset import ImageDataset, Picture
from serving.predictor import Predictor
from steps.evaluation.examined import Examined
from steps.evaluation.metrics import UNUSABLE
from tests.materializers.examples import png
from tests.steps.training.examples import CLASSES

OF_THE_PICTURE = ("source", "captured_at", "width", "height")


def dataset(count: int, **columns: Sequence[Any]) -> ImageDataset:
    """Pictures whose classes take turns; columns are those of ``labels.csv``, and brightness a measure."""
    return ImageDataset.from_pictures(_picture(place, columns) for place in range(count))


def _picture(place: int, columns: dict[str, Sequence[Any]]) -> Picture:
    about = {name: values[place] for name, values in columns.items()}
    known: dict[str, Any] = {"width": 8, "height": 8, "source": f"shop/{place}.png"}
    known |= {name: about.pop(name) for name in OF_THE_PICTURE if name in about}
    measures = {"brightness": about.pop("brightness")} if "brightness" in about else {}
    return Picture(
        data=png(place), label=CLASSES[place % 3], orientation=1, extra=about, measures=measures, **known
    )


def examined(
    classifier: Classifier,
    wrong: NDArray[np.bool_],
    unusable: NDArray[np.bool_] | None = None,
    **columns: Sequence[Any],
) -> Examined:
    """A model that takes the next class for the true one where ``wrong`` ``(n,)`` says so."""
    count = len(wrong)
    pictures = dataset(count, **columns)
    places = {_picture(place, {}).image_id: place for place in range(count)}
    image_ids = tuple(pictures.index["image_id"].tolist())
    order = np.array([places[image_id] for image_id in image_ids])
    true = order % 3
    predicted = np.where(wrong[order], (true + 1) % 3, true)
    if unusable is not None:
        predicted[unusable[order]] = UNUSABLE
    return Examined(
        classifier=classifier,
        predictor=Predictor.load(classifier.serving_directory),
        dataset=pictures,
        image_ids=image_ids,
        true=true,
        predicted=predicted,
        probabilities=np.eye(4)[predicted][:, :3],
    )
