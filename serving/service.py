"""The class that Seldon serves; it imports nothing of Seldon.

A request is a Seldon message as JSON: ``binData``, one picture in base64, or ``jsonData: {"images": [...]}``,
several. The launcher hands a raw body over as ``binData`` in bytes. The answer, always, is ``jsonData:
{request_id, model_version, predictions}``; where no picture can be used it is Seldon's ``status`` with code
400, and no exception, so that Seldon counts it. ``meta`` may hold anything: ``puid`` is the request's id, and
the rest, such as the key of an A/B test in ``tags.request_key``, is for whoever stands before the service.
"""

import base64
import binascii
import copy
import io
import logging
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from PIL import Image

from serving.feedback import BadFeedback, parse_feedback
from serving.latency import LATENCY
from serving.model_directory import ModelDirectoryError
from serving.predictor import NO_ANSWERS, Answers, PictureError, Prediction, Predictor
from serving.preprocess import DEFAULT_LIMITS, Limits
from serving.reasons import Reason
from serving.recording import Exchange, Model, Recorder
from serving.resident import resident_bytes

DEFAULT_MAX_BATCH = 16
MAX_REQUEST_ID = 128  # characters; it is echoed and logged
OK, BAD_REQUEST, FAILED, NOT_KEPT, UNAVAILABLE = 200, 400, 500, 501, 503
INTERNAL_ERROR: tuple[Reason, str] = ("internal_error", "the request failed; the service's log says why")
MOST_NAMED_KEYS, MOST_NAMED_LENGTH = 5, 40
"""Of what a caller made up and an error repeats."""
FAILURE = 1  # Seldon's status flag
COUNTED_ELSEWHERE = (
    "shutterline_requests_overloaded",
    "shutterline_requests_timed_out",
    "shutterline_feedback",
)
"""What a server counts before or beside the model."""
WARM_UP_SIDE = 64

logger = logging.getLogger(__name__)


class BadRequest(ValueError):
    """A request without a usable picture: ``reason``, a code, and ``message``, a sentence."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason
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
        self._recorder: Recorder | None = None

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

    @property
    def classes(self) -> tuple[str, ...]:
        """The names, in the order of the model's logits.

        Raises:
            RuntimeError: nothing is loaded.
        """
        return self._loaded().metadata.classes

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

    def record_with(self, recorder: Recorder) -> None:
        """Have every exchange recorded from now on."""
        self._recorder = recorder

    def unrecorded(self) -> Self:
        """The same service, of whose exchanges nothing is recorded."""
        same = copy.copy(self)
        same._recorder = None
        return same

    @property
    def model(self) -> Model:
        """What answers.

        Raises:
            RuntimeError: nothing is loaded.
        """
        predictor = self._loaded()
        return Model(self.model_name, self.model_version, predictor.digest, predictor.metadata.classes)

    def close(self) -> None:
        """Let the recorder write what it keeps."""
        if self._recorder is not None:
            self._recorder.close()

    def predict_raw(self, message: Any, arrived: float | None = None) -> dict[str, Any]:
        """Answer a Seldon message.

        It never raises: bad input gets a ``status`` with code 400; what fails inside is logged, and gets 500.

        Args:
            message: Seldon's, as JSON.
            arrived: when it did, by the monotonic clock, so that what it waited counts; None: now.
        """
        if arrived is None:
            arrived = time.monotonic()
        request_id = _request_id(message)
        pictures, outcome, refusal = self._outcome(message, request_id)
        at, seconds = _since(arrived)
        exchange = Exchange(
            request_id=request_id,
            at=at,
            seconds=seconds,
            status=refusal["code"] if refusal else OK,
            reason=refusal["reason"] if refusal else None,
            pictures=[picture if isinstance(picture, bytes) else None for picture in pictures],
            answers=outcome.answers,
            logits=outcome.logits,
            embeddings=outcome.embeddings,
        )
        if self._recorder is not None:
            self._recorder.record(exchange)
        answered = {"status": refusal} if refusal else {"jsonData": self._content(exchange)}
        return {**answered, "meta": {"puid": request_id, "metrics": self._metrics(exchange)}}

    def record_refusal(self, request_id: str | None, *, arrived: float, code: int, reason: Reason) -> None:
        """Have a request recorded that never reached the model.

        Args:
            request_id: that the answer carries; None: it has none, and gets one here.
            arrived: when it did, by the monotonic clock.
            code: of HTTP.
            reason: as a code.
        """
        if self._recorder is not None:
            at, seconds = _since(arrived)
            self._recorder.record(
                Exchange(
                    request_id=request_id or str(uuid.uuid4()),
                    at=at,
                    seconds=seconds,
                    status=code,
                    reason=reason,
                    pictures=(),
                    answers=(),
                    logits=NO_ANSWERS.logits,
                    embeddings=NO_ANSWERS.embeddings,
                )
            )

    def send_feedback(self, message: Any) -> dict[str, Any]:
        """Keep what Seldon's feedback message says of an answer; the id comes back in ``meta.puid``.

        It never raises: what cannot be meant gets a ``status`` with code 400, what cannot be kept 501 or 503.
        """
        if self._recorder is None:
            return {"status": status(NOT_KEPT, "feedback_off", "this service keeps no feedback")}
        try:
            given = parse_feedback(
                message, classes=self.model.classes, most_labels=self._max_batch, at=time.time()
            )
        except BadFeedback as error:
            return {"status": status(BAD_REQUEST, error.reason, error.message)}
        about = {"meta": {"puid": given.request_id}}
        if not self._recorder.feedback(given):
            return {"status": status(UNAVAILABLE, "overloaded", "there is no room for it now"), **about}
        return about

    def _outcome(
        self, message: Any, request_id: str
    ) -> tuple[list[bytes | PictureError], Answers, dict[str, Any] | None]:
        """A message's pictures, what the model answers, and why the request gets no answer."""
        pictures: list[bytes | PictureError] = []
        try:
            pictures = self._pictures(message)
            outcome = self._answers(pictures)
        except BadRequest as error:
            return pictures, NO_ANSWERS, status(BAD_REQUEST, error.reason, error.message)
        except Exception:  # the runtime has a dozen unrelated exception classes
            logger.exception("request %s failed", request_id)
            return pictures, NO_ANSWERS, status(FAILED, *INTERNAL_ERROR)
        errors = [answer for answer in outcome.answers if isinstance(answer, PictureError)]
        return pictures, outcome, _nothing_usable(errors) if len(errors) == len(pictures) else None

    def _metrics(self, exchange: Exchange) -> list[dict[str, Any]]:
        dropped = 0 if self._recorder is None else self._recorder.newly_dropped()
        return _metrics(exchange, dropped)

    def _content(self, exchange: Exchange) -> dict[str, Any]:
        """What the caller reads."""
        return {
            "request_id": exchange.request_id,
            "model_version": self.model_version,
            "predictions": [
                vars(answer) if isinstance(answer, Prediction) else {"error": vars(answer)}
                for answer in exchange.answers
            ],
        }

    def _loaded(self) -> Predictor:
        if self._predictor is None:
            raise RuntimeError("the model is not loaded")
        return self._predictor

    def _pictures(self, message: Any) -> list[bytes | PictureError]:
        """Take the pictures out of a message; one that is not base64 gets its error in its place."""
        if not isinstance(message, dict):
            raise BadRequest("bad_request", "the request must be a JSON object")
        unknown = _named(set(message) - {"binData", "jsonData", "meta"})
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
        unknown = _named(set(content) - {"images"})
        if unknown:
            raise BadRequest("unknown_keys", f"unknown keys {unknown} in jsonData; known is images")
        if not images:
            raise BadRequest("empty", "jsonData.images is empty")
        if len(images) > self._max_batch:
            raise BadRequest(
                "too_many_pictures", f"{len(images)} pictures in one request; the limit is {self._max_batch}"
            )
        return [_decoded(image) for image in images]

    def _answers(self, pictures: list[bytes | PictureError]) -> Answers:
        """Answer for every picture in its place."""
        readable = [picture for picture in pictures if isinstance(picture, bytes)]
        answered = self._loaded().answer(readable, self._limits)
        answers = iter(answered.answers)
        in_place = [next(answers) if isinstance(picture, bytes) else picture for picture in pictures]
        return replace(answered, answers=in_place)


def status(code: int, reason: Reason, info: str) -> dict[str, Any]:
    """Seldon's ``status`` of a request without an answer: HTTP's code, a reason as a code, a sentence."""
    return {"status": FAILURE, "code": code, "reason": reason, "info": info}


def _since(arrived: float) -> tuple[float, float]:
    """When a moment of the monotonic clock was, in seconds since the epoch, and how many have gone by."""
    seconds = time.monotonic() - arrived
    return time.time() - seconds, seconds


def puid(given: Any) -> str | None:
    """A caller's request id, if it is a sane one."""
    sane = isinstance(given, str) and 0 < len(given) <= MAX_REQUEST_ID and given.isprintable()
    return given if sane else None


def _request_id(message: Any) -> str:
    """Take the caller's request id (Seldon's ``meta.puid``) where there is a sane one, or make one."""
    meta = message.get("meta") if isinstance(message, dict) else None
    given = puid(meta.get("puid")) if isinstance(meta, dict) else None
    return given or str(uuid.uuid4())


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


def _named(keys: Iterable[Any]) -> list[str]:
    """Keys that a caller made up, as an error names them: in order, the first few, shortened."""
    return [key[:MOST_NAMED_LENGTH] for key in sorted(map(str, keys))[:MOST_NAMED_KEYS]]


def _nothing_usable(errors: Sequence[PictureError]) -> dict[str, Any]:
    """Say why no picture of a request can be used."""
    if len(errors) == 1:
        return status(BAD_REQUEST, errors[0].reason, errors[0].message)
    listed = "; ".join(f"{place}: {error.message}" for place, error in enumerate(errors))
    several = len({error.reason for error in errors}) > 1
    reason: Reason = "bad_pictures" if several else errors[0].reason
    return status(BAD_REQUEST, reason, f"none of the {len(errors)} pictures can be used. {listed}")


def _metrics(exchange: Exchange, dropped: int) -> list[dict[str, Any]]:
    """Count a request for Prometheus: counters, gauges, and how long it took, in milliseconds, as a timer.

    What others count is begun here with 0: of a counter that is not there Prometheus computes no rate.
    """
    predictions = [answer for answer in exchange.answers if isinstance(answer, Prediction)]
    counts = {
        "shutterline_requests": 1,
        "shutterline_requests_refused": int(exchange.status == BAD_REQUEST),
        "shutterline_requests_failed": int(exchange.status == FAILED),
        "shutterline_predictions": len(predictions),
        "shutterline_abstentions": sum(prediction.abstained for prediction in predictions),
        "shutterline_bad_pictures": len(exchange.answers) - len(predictions),
        "shutterline_request_seconds": exchange.seconds,
        "shutterline_captures_dropped": dropped,
        **dict.fromkeys(COUNTED_ELSEWHERE, 0),
    }
    gauges = {"shutterline_last_request_seconds": exchange.seconds}
    if predictions:
        gauges["shutterline_last_prediction_timestamp_seconds"] = time.time()
    return [
        *({"type": "COUNTER", "key": key, "value": value} for key, value in counts.items()),
        *({"type": "GAUGE", "key": key, "value": value} for key, value in gauges.items()),
        {"type": "TIMER", "key": LATENCY, "value": exchange.seconds * 1_000},
    ]
