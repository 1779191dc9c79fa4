"""The class that Seldon serves; it imports nothing of Seldon.

A request is a Seldon message as JSON: ``binData``, one picture in base64, or ``jsonData: {"images": [...]}``,
several. The launcher hands a raw body over as ``binData`` in bytes. The answer, always, is ``jsonData:
{request_id, model_version, predictions}``; where no picture can be used it is Seldon's ``status`` with code
400, and no exception, so that Seldon counts it.
"""

import base64
import binascii
import io
import logging
import time
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from serving.model_directory import ModelDirectoryError
from serving.predictor import PictureError, Prediction, Predictor
from serving.preprocess import DEFAULT_LIMITS, Limits
from serving.resident import resident_bytes

DEFAULT_MAX_BATCH = 16
MAX_REQUEST_ID = 128  # characters; it is echoed and logged
BAD_REQUEST = 400
FAILURE = 1  # Seldon's status flag
WARM_UP_SIDE = 64

logger = logging.getLogger(__name__)


class BadRequest(ValueError):
    """A request without a usable picture: ``reason``, a code, and ``message``, a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class PictureClassifier:
    """Answers Seldon's ``predict_raw`` from a model directory whose digest is checked when it loads."""

    def __init__(
        self,
        *,
        model_directory: str,
        model_digest: str,
        model_version: str,
        model_name: str,
        max_bytes: int = DEFAULT_LIMITS.max_bytes,
        max_pixels: int = DEFAULT_LIMITS.max_pixels,
        max_batch: int = DEFAULT_MAX_BATCH,
    ) -> None:
        """Take Seldon's ``--parameters``; nothing is read before ``load``."""
        self.model_version = model_version
        self.model_name = model_name
        self._directory = Path(model_directory)
        self._digest = model_digest
        self._limits = Limits(max_bytes=max_bytes, max_pixels=max_pixels)
        self._max_batch = max_batch
        self._predictor: Predictor | None = None

    def load(self) -> None:
        """Load the model and answer one picture, so that the first request pays for nothing.

        Raises:
            ModelDirectoryError: the digest is not the release's, or the model does not answer.
        """
        started = time.monotonic()
        predictor = Predictor.load(self._directory, expected_digest=self._digest)
        picture = io.BytesIO()
        Image.new("RGB", (WARM_UP_SIDE, WARM_UP_SIDE), "grey").save(picture, "PNG")
        try:
            predictor.predict([picture.getvalue()])
        except Exception as error:  # onnxruntime has a dozen unrelated exception classes
            raise ModelDirectoryError(f"the model in {self._directory} does not answer: {error}") from error
        self._predictor = predictor
        logger.info(
            "ready: %s version %s, digest %s, loaded in %.2f s",
            self.model_name,
            self.model_version,
            predictor.digest,
            time.monotonic() - started,
        )

    def health_status(self) -> dict[str, str | int]:
        """Say what is served, and in how much memory, for ``/health/status``.

        Raises:
            RuntimeError: nothing is loaded.
        """
        return {
            "model_name": self.model_name,
            "model_version": self.model_version,
            "model_digest": self._loaded().digest,
            "resident_bytes": resident_bytes(),
        }

    def predict_raw(self, message: Any) -> dict[str, Any]:
        """Answer a Seldon message; bad input gets a ``status`` with code 400 and never raises."""
        request_id = _request_id(message)
        started = time.monotonic()
        answers: list[Prediction | PictureError] = []
        try:
            answers = self._answers(self._pictures(message))
            if all(isinstance(answer, PictureError) for answer in answers):
                raise _nothing_usable(answers)
        except BadRequest as error:
            return {
                "status": {
                    "status": FAILURE,
                    "code": BAD_REQUEST,
                    "reason": error.reason,
                    "info": error.message,
                },
                "meta": {"puid": request_id, "metrics": _metrics(answers, started, refused=1)},
            }
        return {
            "jsonData": {
                "request_id": request_id,
                "model_version": self.model_version,
                "predictions": [
                    asdict(answer) if isinstance(answer, Prediction) else {"error": asdict(answer)}
                    for answer in answers
                ],
            },
            "meta": {"puid": request_id, "metrics": _metrics(answers, started, refused=0)},
        }

    def _loaded(self) -> Predictor:
        if self._predictor is None:
            raise RuntimeError("the model is not loaded")
        return self._predictor

    def _pictures(self, message: Any) -> list[bytes | PictureError]:
        """Take the pictures out of a message; one that is not base64 gets its error in its place."""
        if not isinstance(message, dict):
            raise BadRequest("bad_request", "the request must be a JSON object")
        unknown = sorted(set(map(str, message)) - {"binData", "jsonData", "meta"})
        if unknown:
            raise BadRequest("unknown_keys", f"unknown keys {unknown}; known are binData, jsonData and meta")
        if ("binData" in message) == ("jsonData" in message):
            raise BadRequest("bad_request", "give either binData or jsonData")
        if "binData" in message:
            return [_decoded(message["binData"])]
        content = message["jsonData"]
        images = content.get("images") if isinstance(content, dict) else None
        if not isinstance(images, list):
            raise BadRequest("bad_request", 'jsonData must be {"images": [base64, …]}')
        unknown = sorted(set(content) - {"images"})
        if unknown:
            raise BadRequest("unknown_keys", f"unknown keys {unknown} in jsonData; known is images")
        if not images:
            raise BadRequest("empty", "jsonData.images is empty")
        if len(images) > self._max_batch:
            raise BadRequest(
                "too_many_pictures", f"{len(images)} pictures in one request; the limit is {self._max_batch}"
            )
        return [_decoded(image) for image in images]

    def _answers(self, pictures: list[bytes | PictureError]) -> list[Prediction | PictureError]:
        """Answer for every picture in its place."""
        readable = [picture for picture in pictures if isinstance(picture, bytes)]
        answers = iter(self._loaded().predict(readable, self._limits))
        return [next(answers) if isinstance(picture, bytes) else picture for picture in pictures]


def _request_id(message: Any) -> str:
    """Take the caller's request id (Seldon's ``meta.puid``) where there is a sane one, or make one."""
    meta = message.get("meta") if isinstance(message, dict) else None
    puid = meta.get("puid") if isinstance(meta, dict) else None
    if isinstance(puid, str) and 0 < len(puid) <= MAX_REQUEST_ID and puid.isprintable():
        return puid
    return str(uuid.uuid4())


def _decoded(picture: Any) -> bytes | PictureError:
    """Decode one picture of a message: base64, or bytes from the launcher."""
    if isinstance(picture, bytes):
        return picture
    if not isinstance(picture, str):
        return PictureError("not_base64", "the picture must be a string in base64")
    try:
        return base64.b64decode(picture, validate=True)
    except (binascii.Error, ValueError) as error:
        return PictureError("not_base64", f"the picture is not base64: {error}")


def _nothing_usable(answers: list[Prediction | PictureError]) -> BadRequest:
    """Say why no picture of a request can be used."""
    errors = [answer for answer in answers if isinstance(answer, PictureError)]
    if len(errors) == 1:
        return BadRequest(errors[0].reason, errors[0].message)
    reasons = {error.reason for error in errors}
    listed = "; ".join(f"{place}: {error.message}" for place, error in enumerate(errors))
    reason = errors[0].reason if len(reasons) == 1 else "bad_pictures"
    return BadRequest(reason, f"none of the {len(errors)} pictures can be used. {listed}")


def _metrics(
    answers: list[Prediction | PictureError], started: float, *, refused: int
) -> list[dict[str, Any]]:
    """Count a request for Prometheus: counters and gauges, for a Seldon TIMER costs 5 ms."""
    predictions = [answer for answer in answers if isinstance(answer, Prediction)]
    seconds = time.monotonic() - started
    counts = {
        "shutterline_requests": 1,
        "shutterline_requests_refused": refused,
        "shutterline_predictions": len(predictions),
        "shutterline_abstentions": sum(prediction.abstained for prediction in predictions),
        "shutterline_bad_pictures": len(answers) - len(predictions),
        "shutterline_request_seconds": seconds,
    }
    gauges = {"shutterline_last_request_seconds": seconds}
    if predictions:
        gauges["shutterline_last_prediction_timestamp_seconds"] = time.time()
    return [
        *({"type": "COUNTER", "key": key, "value": value} for key, value in counts.items()),
        *({"type": "GAUGE", "key": key, "value": value} for key, value in gauges.items()),
    ]
