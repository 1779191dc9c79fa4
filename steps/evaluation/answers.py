"""Ask what would be served about stored pictures, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from materializers.image_dataset import ImageDataset
from steps.evaluation.metrics import UNUSABLE, worst

if TYPE_CHECKING:
    from serving.predictor import PictureError, Prediction, Predictor


def each_answer(
    predictor: Predictor, dataset: ImageDataset, image_ids: Sequence[str], *, batch_size: int
) -> Iterator[Prediction | PictureError]:
    """The predictor's answer to every picture, in order.

    Args:
        predictor: what would be served.
        dataset: holds the pictures.
        image_ids: n of them.
        batch_size: pictures at a time.
    """
    from steps.progress import progress

    with progress("evaluate", total=len(image_ids)) as bar:
        for start in range(0, len(image_ids), batch_size):
            batch = list(image_ids[start : start + batch_size])
            yield from predictor.predict(dataset.pictures(batch), orientations=dataset.orientations(batch))
            bar.advance(len(batch))


def answers(
    predictor: Predictor,
    dataset: ImageDataset,
    image_ids: Sequence[str],
    true: NDArray[np.int64],
    *,
    batch_size: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Ask the predictor for every picture.

    Args:
        predictor: what would be served.
        dataset: holds the pictures.
        image_ids: the n pictures.
        true: ``(n,)``, their class numbers.
        batch_size: pictures at a time.

    Returns:
        The predicted class numbers ``(n,)`` and probabilities ``(n, k)``. An abstention counts by its
        label, as if it had been given: to abstain makes no metric better or worse. A picture that the
        predictor refuses is ``UNUSABLE`` and has the ``worst`` scores there are.
    """
    from serving.predictor import Prediction

    classes = predictor.metadata.classes
    predicted = np.full(len(image_ids), UNUSABLE)
    probabilities = np.stack([worst(number, len(classes)) for number in true.tolist()])
    for row, answer in enumerate(each_answer(predictor, dataset, image_ids, batch_size=batch_size)):
        if isinstance(answer, Prediction):
            predicted[row] = classes.index(answer.label)
            probabilities[row] = [answer.probabilities[name] for name in classes]
    return predicted, probabilities
