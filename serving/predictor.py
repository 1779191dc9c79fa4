"""Run a model directory: encoded pictures in, labels and probabilities out, on a CPU with onnxruntime.

Evaluation, batch inference, the latency measurement and the microservice all answer through ``Predictor``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from serving.model_directory import (
    METADATA_FILE,
    MODEL_FILE,
    ModelDirectoryError,
    ModelMetadata,
    digest_files,
    parse_metadata,
    read_files,
)
from serving.preprocess import DEFAULT_LIMITS, BadPicture, Limits, decode
from serving.reasons import PictureReason

INPUT = "images"
OUTPUTS = ("logits", "embedding")
ERRORS_ONLY = 3  # onnxruntime's log severity


@dataclass(frozen=True)
class Prediction:
    """An answer: ``probability`` is ``label``'s; ``abstained``: it is below the model's threshold."""

    label: str
    probability: float
    probabilities: dict[str, float]
    abstained: bool


@dataclass(frozen=True)
class PictureError:
    """Why there is no answer for one picture: ``reason`` is a code, ``message`` a sentence."""

    reason: PictureReason
    message: str


@dataclass(frozen=True)
class Answers:
    """What a model answers for p pictures.

    Args:
        answers: p, in the order of the pictures.
        logits: ``(m, k)`` float32 of the m pictures with a prediction, in their order.
        embeddings: ``(m, d)`` float32, likewise.
    """

    answers: list[Prediction | PictureError]
    logits: NDArray[np.float32]
    embeddings: NDArray[np.float32]


NO_ANSWERS = Answers([], np.empty((0, 0), np.float32), np.empty((0, 0), np.float32))


def probabilities(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    """Turn logits ``(n, k)`` into probabilities ``(n, k)``: softmax of logits / temperature, in float64."""
    scaled = logits.astype(np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


class Predictor:
    """A loaded model directory. Threads may share it."""

    def __init__(self, session: Any, metadata: ModelMetadata, digest: str) -> None:
        self._session = session
        self.metadata = metadata
        self.digest = digest

    @classmethod
    def load(cls, directory: Path, *, expected_digest: str | None = None, threads: int = 1) -> "Predictor":
        """Load a model directory, reading each file once: the bytes that are digested are those that answer.

        Args:
            directory: holds ``model.onnx`` and ``metadata.json``.
            expected_digest: what ``model_digest`` must give; None: any.
            threads: of one request; more than one spends more CPU on the same answer.

        Raises:
            ModelDirectoryError: the digest differs, or the directory, metadata or network is not usable.
        """
        files = read_files(directory)
        digest = digest_files(files)
        if expected_digest is not None and digest != expected_digest:
            raise ModelDirectoryError(
                f"the model directory {directory} has digest {digest}; the release names {expected_digest}"
            )
        metadata = parse_metadata(files[METADATA_FILE])
        try:
            session = open_session(files[MODEL_FILE], threads)
        except Exception as error:  # onnxruntime has a dozen unrelated exception classes
            raise ModelDirectoryError(f"{directory / MODEL_FILE} cannot be loaded: {error}") from error
        _check_network(session, metadata)
        return cls(session, metadata, digest)

    def predict(
        self,
        pictures: Sequence[bytes],
        limits: Limits = DEFAULT_LIMITS,
        *,
        orientations: Sequence[int | None] | None = None,
    ) -> list[Prediction | PictureError]:
        """Answer for each encoded picture, in order: the ``answers`` of :meth:`answer`."""
        return self.answer(pictures, limits, orientations=orientations).answers

    def answer(
        self,
        pictures: Sequence[bytes],
        limits: Limits = DEFAULT_LIMITS,
        *,
        orientations: Sequence[int | None] | None = None,
    ) -> Answers:
        """Answer for each encoded picture, in order; a bad one gets its ``PictureError`` and spoils no other.

        Args:
            pictures: n encoded pictures.
            limits: what is refused before anything is decoded.
            orientations: n: 1 to 8 for a stored picture, None for what the file says; None: so for all.

        Raises:
            FloatingPointError: the network's answer is not a number.
        """
        errors: dict[int, PictureError] = {}
        images = []
        turns = orientations if orientations is not None else [None] * len(pictures)
        for row, (picture, turn) in enumerate(zip(pictures, turns, strict=True)):
            try:
                images.append(decode(picture, self.metadata.preprocessing, limits, orientation=turn))
            except BadPicture as error:
                errors[row] = PictureError(error.reason, error.message)
        if not images:
            return replace(NO_ANSWERS, answers=list(errors.values()))
        logits, embeddings = self.scores(np.stack(images))
        if not np.isfinite(logits).all():
            raise FloatingPointError("the network's answer is not a number")
        rows = probabilities(logits, self.metadata.temperature).tolist()
        predictions = iter([self._prediction(row) for row in rows])
        answers = [errors[row] if row in errors else next(predictions) for row in range(len(pictures))]
        return Answers(answers, logits, embeddings)

    def scores(
        self, images: NDArray[np.uint8], batch_size: int = 64
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Run the network.

        Args:
            images: ``(n, height, width, 3)`` uint8, RGB, as ``decode`` makes them.
            batch_size: pictures at a time.

        Returns:
            Logits ``(n, k)`` and embeddings ``(n, d)``, float32.

        Raises:
            ValueError: ``images`` has another shape or type.
        """
        shape = (self.metadata.preprocessing.height, self.metadata.preprocessing.width, 3)
        if images.dtype != np.uint8 or images.shape[1:] != shape or not len(images):
            raise ValueError(
                f"images are {images.dtype} {images.shape}; they must be uint8 (n > 0, *{shape})"
            )
        parts = [
            self._session.run(list(OUTPUTS), {INPUT: images[start : start + batch_size]})
            for start in range(0, len(images), batch_size)
        ]
        logits, embeddings = (np.concatenate(column) for column in zip(*parts, strict=True))
        return logits, embeddings

    def _prediction(self, row: list[float]) -> Prediction:
        by_class = dict(zip(self.metadata.classes, row, strict=True))
        label = max(by_class, key=by_class.__getitem__)
        return Prediction(
            label=label,
            probability=by_class[label],
            probabilities=by_class,
            abstained=by_class[label] < self.metadata.abstention_threshold,
        )


def open_session(model: bytes, threads: int) -> Any:
    """An onnxruntime session on the CPU; threads may share it.

    Args:
        model: an ONNX file.
        threads: of one call.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = ERRORS_ONLY
    return onnxruntime.InferenceSession(model, sess_options=options, providers=["CPUExecutionProvider"])


def _check_network(session: Any, metadata: ModelMetadata) -> None:
    """Refuse a network whose inputs and outputs are not those of the contract."""
    inputs = {one.name: one for one in session.get_inputs()}
    outputs = {one.name: one for one in session.get_outputs()}
    if set(inputs) != {INPUT} or set(outputs) != set(OUTPUTS):
        raise ModelDirectoryError(
            f"{MODEL_FILE} takes {sorted(inputs)} and gives {sorted(outputs)}; "
            f"it must take [{INPUT!r}] and give {list(OUTPUTS)}"
        )
    preprocessing = metadata.preprocessing
    wanted = (preprocessing.height, preprocessing.width, 3)
    images = inputs[INPUT]
    if images.type != "tensor(uint8)" or not _fits(images.shape[1:], wanted):
        raise ModelDirectoryError(
            f"{MODEL_FILE} takes {images.type} {images.shape}; {METADATA_FILE} says uint8 (n, *{wanted})"
        )
    if isinstance(images.shape[0], int):
        raise ModelDirectoryError(
            f"{MODEL_FILE} takes {images.shape[0]} pictures only; export a free batch size"
        )
    logits = outputs[OUTPUTS[0]].shape
    if not _fits(logits[1:], (len(metadata.classes),)):
        raise ModelDirectoryError(
            f"{MODEL_FILE} gives logits {logits}; {METADATA_FILE} names {len(metadata.classes)} classes"
        )


def _fits(shape: Sequence[int | str | None], wanted: Sequence[int]) -> bool:
    """Say whether a shape, in which names stand for free sizes, admits the wanted one."""
    return len(shape) == len(wanted) and all(
        not isinstance(size, int) or size == want for size, want in zip(shape, wanted, strict=True)
    )
