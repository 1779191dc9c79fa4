"""Find faces by OpenCV's Haar cascades.

Chosen on 100 planted faces of Labelled Faces in the Wild and 378 clothing photographs without a face:
``alt`` found 95 and was wrong in 3, ``alt2`` 92 and 3, ``default`` 90 and more than 10. The profile's was
never wrong, and sees who looks aside: 25 of the planted ones.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steps.data.personal_data.pictures import Box

if TYPE_CHECKING:
    import cv2

LEAST_FACE = 24
"""Pixels a side; below it the cascades, trained at 20 and 24, see noise."""


class Cascade(NamedTuple):
    """A cascade of OpenCV's and how it is asked."""

    file: str
    step: float
    """By how much the picture shrinks from one pass to the next."""
    neighbours: int
    """How many windows must agree; more find less, truly and falsely."""
    mirrored: bool = False
    """Ask for the mirrored picture too: a profile is only known from one side."""


CASCADES = (
    Cascade("haarcascade_frontalface_alt.xml", 1.1, 5),
    Cascade("haarcascade_profileface.xml", 1.2, 5, mirrored=True),
)


class HaarFaces:
    """OpenCV's frontal and profile faces; each thread has cascades of its own, for they keep state."""

    name = "faces (OpenCV Haar cascades)"

    def __init__(self) -> None:
        import cv2

        cv2.setNumThreads(1)  # pictures are examined side by side; nothing else here computes with OpenCV
        self._own = threading.local()

    def find(self, image: NDArray[np.uint8]) -> list[Box]:
        """Find faces from 24 pixels on in an upright picture ``(h, w, 3)``, RGB; one box a face."""
        import cv2

        grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
        width = grey.shape[1]
        found: list[Box] = []
        for cascade, classifier in zip(CASCADES, self._classifiers(), strict=True):
            found += _asked(classifier, cascade, grey)
            if cascade.mirrored:
                mirrored = np.ascontiguousarray(grey[:, ::-1])
                found += [
                    box._replace(left=width - box.left - box.width)
                    for box in _asked(classifier, cascade, mirrored)
                ]
        return _once_each(found)

    def _classifiers(self) -> list[cv2.CascadeClassifier]:
        import cv2
        import cv2.data

        if not hasattr(self._own, "classifiers"):
            folder = Path(cv2.data.haarcascades)
            self._own.classifiers = [
                cv2.CascadeClassifier(str(folder / cascade.file)) for cascade in CASCADES
            ]
        classifiers: list[cv2.CascadeClassifier] = self._own.classifiers
        return classifiers


def _asked(classifier: cv2.CascadeClassifier, cascade: Cascade, grey: NDArray[np.uint8]) -> list[Box]:
    found = classifier.detectMultiScale(
        grey, scaleFactor=cascade.step, minNeighbors=cascade.neighbours, minSize=(LEAST_FACE, LEAST_FACE)
    )
    return [Box(*(int(edge) for edge in box)) for box in found]


def _once_each(boxes: list[Box]) -> list[Box]:
    """Leave out boxes that lie half in a larger one: several cascades find the same face."""
    kept: list[Box] = []
    for box in sorted(boxes, key=lambda box: box.width * box.height, reverse=True):
        if not any(_shared(box, other) > box.width * box.height / 2 for other in kept):
            kept.append(box)
    return kept


def _shared(box: Box, other: Box) -> int:
    """Pixels that lie in both."""
    width = min(box.left + box.width, other.left + other.width) - max(box.left, other.left)
    height = min(box.top + box.height, other.top + other.height) - max(box.top, other.top)
    return max(0, width) * max(0, height)
