"""Score pictures by how sure the served model is, and by how alike their embeddings are to known ones.

The probability of the answer is what serving abstains by (Hendrycks and Gimpel 2017); the similarity is that
to a near neighbour among embeddings of validation pictures (Sun et al. 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from materializers.errors import DamagedArtifact
from materializers.splits import VALIDATION
from steps.evaluation.intervals import Array

if TYPE_CHECKING:
    from materializers.classifier import Classifier
    from serving.predictor import Predictor


@dataclass(frozen=True)
class Scored:
    """Some pictures and what the model makes of them.

    Args:
        kinds: ``(m,)`` str, of each picture.
        sure: ``(m,)`` float64, the probability of the answer.
        alike: ``(m,)`` float64, the similarity of the embedding; None: there is nothing to compare with.
    """

    kinds: NDArray[np.str_]
    sure: Array
    alike: Array | None

    def of(self, rows: NDArray[np.int64]) -> Scored:
        """Those in these rows."""
        return Scored(self.kinds[rows], self.sure[rows], None if self.alike is None else self.alike[rows])

    def rows_by_kind(self) -> dict[str, NDArray[np.int64]]:
        """The rows of each kind, in the order in which kinds come."""
        return {kind: np.flatnonzero(self.kinds == kind) for kind in dict.fromkeys(self.kinds.tolist())}


class NotFinite(Exception):
    """The network's answer is not a number."""


class Scorer:
    """What scores pictures: the served model, and the embeddings that others are compared with.

    Args:
        predictor: the served model.
        bank: ``(b, d)`` float32, embeddings of pictures that it knows; None: there are none.
        neighbours: as in the settings.
    """

    def __init__(self, predictor: Predictor, bank: NDArray[np.float32] | None, neighbours: int) -> None:
        self._predictor = predictor
        self._bank = None if bank is None else _unit(bank)
        self._rank = neighbours

    def __call__(self, pixels: NDArray[np.uint8], kinds: list[str]) -> Scored:
        """Score pictures.

        Args:
            pixels: ``(m, height, width, 3)`` uint8.
            kinds: m.

        Raises:
            NotFinite: an answer is not a number.
        """
        from serving.predictor import probabilities

        logits, embeddings = self._predictor.scores(pixels)
        if not (np.isfinite(logits).all() and np.isfinite(embeddings).all()):
            raise NotFinite
        sure = probabilities(logits, self._predictor.metadata.temperature).max(axis=1)
        alike = None
        if self._bank is not None:
            rank = min(self._rank, len(self._bank))
            similarity = _unit(embeddings) @ self._bank.T
            alike = np.partition(similarity, -rank, axis=1)[:, -rank].astype(np.float64)
        return Scored(np.array(kinds), sure, alike)


def known_embeddings(classifier: Classifier) -> NDArray[np.float32] | str:
    """The embeddings ``(b, d)`` float32 of validation pictures in the drift reference, or why there are none.

    Test pictures are left out: those are what unknown ones are compared with.
    """
    try:
        reference = classifier.reference()
    except DamagedArtifact as error:
        return str(error)
    if reference is None:
        return "the model has no drift reference, whose embeddings others are compared with: train again"
    rows = reference.rows[reference.rows["embedded"]]
    bank = reference.embeddings[(rows["split"] == VALIDATION).to_numpy()]
    return bank if len(bank) else "the model's drift reference has no embedding of a validation picture"


def joined(parts: Sequence[Scored]) -> Scored:
    """All scores in one."""
    alike = [part.alike for part in parts if part.alike is not None]
    return Scored(
        np.concatenate([part.kinds for part in parts]),
        np.concatenate([part.sure for part in parts]),
        np.concatenate(alike) if alike else None,
    )


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors ``(n, d)`` of length 1; one that is all 0 stays so."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.finfo(np.float32).tiny))
