"""Classify some pictures, in this process or in one of its own: nothing heavy is imported for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from materializers.prediction_table import PROBABILITY, prediction_schema
from materializers.shards import picture_digest
from serving.predictor import PictureError, Prediction, Predictor
from steps.data.examining import end_with_parent

NOT_A_NUMBER = "not_a_number"
"""The reason of a picture for which the network's answer is not finite."""


@dataclass(frozen=True)
class Given:
    """A picture of a source.

    Attributes:
        path: below the source, as it can be printed.
        data: its bytes; None where they cannot be had.
        error: why they cannot be had.
    """

    path: str
    data: bytes | None
    error: str | None = None

    @cached_property
    def digest(self) -> str | None:
        """As captures name it, once computed; a worker process is handed it with the bytes."""
        return None if self.data is None else picture_digest(self.data)


@dataclass(frozen=True)
class Model:
    """A served model directory, and how it is run.

    Attributes:
        folder: on this machine.
        digest: what the directory's has to be.
        version: as it is registered.
        threads: of one answer.
        batch_size: pictures at a time.
    """

    folder: str
    digest: str
    version: int
    threads: int
    batch_size: int


class Classifying:
    """A loaded model that answers for pictures with rows.

    Raises:
        ModelDirectoryError: the model is another one than was pinned, or cannot be used.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.predictor = Predictor.load(
            Path(model.folder), expected_digest=model.digest, threads=model.threads
        )
        self.schema = prediction_schema(self.predictor.metadata.classes)

    def classify(self, pictures: Sequence[Given]) -> pa.Table:
        """A row a picture, in order; of one that has no answer, the reason in ``error`` and no label."""
        encoded = [each.data for each in pictures if each.data is not None]
        answers = self._answers(encoded)
        rows = [self._row(each, None if each.data is None else next(answers)) for each in pictures]
        return pa.Table.from_pylist(rows, schema=self.schema)

    def _answers(self, encoded: Sequence[bytes]) -> Iterator[Prediction | str]:
        """An answer a picture, or why there is none."""
        size = self.model.batch_size
        for start in range(0, len(encoded), size):
            some = encoded[start : start + size]
            try:
                yield from map(_told, self.predictor.predict(some))
            except FloatingPointError:
                yield from map(self._alone, some)

    def _alone(self, picture: bytes) -> Prediction | str:
        """The answer for one picture of a batch in which one has none."""
        try:
            return _told(self.predictor.predict([picture])[0])
        except FloatingPointError as error:
            return f"{NOT_A_NUMBER}: {error}"

    def _row(self, picture: Given, answer: Prediction | str | None) -> dict[str, object]:
        row: dict[str, object] = {
            "path": picture.path,
            "input_digest": picture.digest,
            "model_version": self.model.version,
        }
        if isinstance(answer, Prediction):
            row |= {"label": answer.label, "probability": answer.probability, "abstained": answer.abstained}
            row |= {f"{PROBABILITY}{name}": value for name, value in answer.probabilities.items()}
        else:
            row["error"] = picture.error if answer is None else answer
        return row


def _told(answer: Prediction | PictureError) -> Prediction | str:
    """An answer, or why there is none as a row says it."""
    return answer if isinstance(answer, Prediction) else f"{answer.reason}: {answer.message}"


class _Process:
    """What a worker process has loaded."""

    classifying: Classifying


def begin_process(model: Model) -> None:
    """Load the model in a worker process, which ends with its parent."""
    end_with_parent()
    _Process.classifying = Classifying(model)


def classify_in_process(pictures: Sequence[Given]) -> pa.Table:
    """As :meth:`Classifying.classify`, by the model that the worker process has loaded."""
    return _Process.classifying.classify(pictures)
