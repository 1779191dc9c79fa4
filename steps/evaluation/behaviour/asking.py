"""Ask what would be served for pictures that were changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steps.evaluation.behaviour.changes import DIRECTIONS, covered, encoded_anew, flipped, lit, shifted
from steps.evaluation.metrics import UNUSABLE

if TYPE_CHECKING:
    from serving.predictor import Predictor
    from steps.evaluation.behaviour.settings import BehaviourSettings
    from steps.evaluation.examined import Examined

COVER = "cover"
"""The change that is no invariance."""
ENCODED = {"jpeg": "JPEG", "png": "PNG"}
"""The changes that go the way of a request, from encoded bytes."""
AT_A_TIME = 32
"""Pictures that are held in memory, encoded anew too: 100 MB at most."""
Probabilities = NDArray[np.float64]


def ask_changed(
    examined: Examined, positions: NDArray[np.int64], names: Sequence[str], settings: BehaviourSettings
) -> dict[str, Probabilities]:
    """The answers to pictures after each change.

    Args:
        examined: the model and its pictures.
        positions: ``(m,)``, of pictures that have an answer.
        names: transformations and ``COVER``.
        settings: how far each goes.

    Returns:
        By name ``(m, k)``; zeros for a picture that serving refuses then.
    """
    found = {name: np.zeros((len(positions), len(examined.classes))) for name in names}
    for start in range(0, len(positions), AT_A_TIME):
        some = positions[start : start + AT_A_TIME]
        pixels = examined.pixels(some)
        for name, rows in found.items():
            if name in ENCODED:
                answered = answers_to(examined.predictor, anew(name, examined, some, settings))
            else:
                answered = _scored(examined.predictor, changed(name, pixels, some, settings))
            rows[start : start + len(some)] = answered
    return found


def changed(
    name: str, pixels: NDArray[np.uint8], positions: NDArray[np.int64], settings: BehaviourSettings
) -> NDArray[np.uint8]:
    """Pictures after a change of their pixels; the same picture is always changed in the same way.

    Args:
        name: a transformation that is not in ``ENCODED``, or ``COVER``.
        pixels: ``(m, height, width, 3)``.
        positions: ``(m,)``, of these pictures.
        settings: how far it goes.
    """
    if name == "flip":
        return flipped(pixels)
    if name == "shift":
        drawn = [np.random.default_rng([settings.seed, each]).integers(len(DIRECTIONS)) for each in positions]
        return shifted(pixels, settings.shift, np.array(drawn))
    if name == COVER:
        return covered(pixels, settings.cover)
    return lit(pixels, 1 + settings.brightness if name == "brighter" else 1 - settings.brightness)


def anew(
    name: str, examined: Examined, positions: NDArray[np.int64], settings: BehaviourSettings
) -> list[bytes]:
    """Pictures encoded anew.

    Args:
        name: of ``ENCODED``.
        examined: has the stored pictures.
        positions: m of them.
        settings: the quality of a JPEG.
    """
    return [
        encoded_anew(data, turn, ENCODED[name], quality=settings.jpeg_quality)
        for data, turn in zip(*stored(examined, positions), strict=True)
    ]


def stored(examined: Examined, positions: NDArray[np.int64]) -> tuple[list[bytes], list[int]]:
    """The encoded bytes of pictures as they are stored, and their orientations."""
    image_ids = [examined.image_ids[position] for position in positions.tolist()]
    return examined.dataset.pictures(image_ids), examined.dataset.orientations(image_ids)


def answers_to(
    predictor: Predictor, pictures: Sequence[bytes], orientations: Sequence[int] | None = None
) -> Probabilities:
    """Probabilities ``(m, k)`` of m encoded pictures, asked in one batch; zeros for one that is refused."""
    from serving.predictor import Prediction

    classes = predictor.metadata.classes
    rows = np.zeros((len(pictures), len(classes)))
    for row, answer in zip(rows, predictor.predict(pictures, orientations=orientations), strict=True):
        if isinstance(answer, Prediction):
            row[:] = [answer.probabilities[name] for name in classes]
    return rows


def labels_of(probabilities: Probabilities) -> NDArray[np.int64]:
    """The answers ``(m,)``; ``UNUSABLE`` where there is none."""
    return np.where(probabilities.any(axis=1), probabilities.argmax(axis=1), UNUSABLE)


def _scored(predictor: Predictor, images: NDArray[np.uint8]) -> Probabilities:
    from serving.predictor import probabilities

    return probabilities(predictor.scores(images)[0], predictor.metadata.temperature)
