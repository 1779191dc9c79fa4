"""Keep what was asked and answered: a service hands it over and never waits.

A request goes into a bounded queue; one thread of the process makes lines of what is in it and appends them
to the spool, four times a second. What finds no room, in the queue or on the disk, is dropped and counted.
After a SIGTERM the rest is written; after a kill -9 what was handed over in the last ``flush_s`` is lost.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
import threading
import time
from collections import deque
from collections.abc import Iterator

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from serving.bad_picture import BadPicture
from serving.capture_options import CaptureSettings
from serving.captured_line import (
    CaptureLine,
    FeedbackLine,
    PictureLine,
    numbers_to_text,
    to_line,
)
from serving.predictor import PictureError, Prediction
from serving.recording import Exchange, GivenFeedback, Model
from serving.spool import SpoolWriter, Stream, folder_of_stream
from serving.strip_metadata import Stripped, strip_metadata

MOST_WAITING = 10_000
"""Requests, and feedback, in the queue: seconds of the highest rate of one process."""
MOST_WAITING_BYTES = 64_000_000
"""Of the pictures in the queue, which are held until they are digested."""
COMPLAINT_EVERY_S = 60.0
"""How often the log says that a disk takes nothing."""

logger = logging.getLogger(__name__)


def is_picture_kept(request_id: str, share: float) -> bool:
    """Whether the pictures of a request are among the share that is kept: the sha256 of its id decides."""
    head = hashlib.sha256(request_id.encode("utf-8", "surrogatepass")).digest()[:8]
    return int.from_bytes(head) < share * 2**64


class Recorder:
    """Takes what a service answered; threads may share it, processes may not."""

    def __init__(self, settings: CaptureSettings, model: Model) -> None:
        """Start the thread that writes: in the process that serves, not in one that forks it."""
        self._settings = settings
        self._model = model
        self._waiting: deque[Exchange | GivenFeedback] = deque()
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self._dropped = self._told = 0
        self._closing = threading.Event()
        self._complained = -COMPLAINT_EVERY_S
        folder = folder_of_stream(settings.spool, Stream(settings.environment, model.name))
        self._writer = SpoolWriter(folder, rotate_s=settings.rotate_s, limit_bytes=settings.limit_bytes)
        with contextlib.suppress(OSError):  # the first line that cannot be written says why
            self._writer.begin()
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()

    def record(self, exchange: Exchange) -> None:
        """Keep what was asked and answered; it never waits and never fails."""
        self._put(exchange)

    def feedback(self, feedback: GivenFeedback) -> bool:
        """Keep a feedback; False where there was no room for it, so that whoever posted it may try again."""
        return self._put(feedback)

    @property
    def dropped(self) -> int:
        """How many requests and feedbacks were dropped since the start."""
        with self._lock:
            return self._dropped

    def newly_dropped(self) -> int:
        """How many were dropped since this was asked last."""
        with self._lock:
            fresh, self._told = self._dropped - self._told, self._dropped
        return fresh

    def close(self) -> None:
        """Write what was handed over, close the file, and take nothing more."""
        self._closing.set()
        self._thread.join()

    def _put(self, one: Exchange | GivenFeedback) -> bool:
        size = _size(one)
        with self._lock:
            full = (
                len(self._waiting) >= MOST_WAITING
                or self._waiting_bytes + size > MOST_WAITING_BYTES
                or self._closing.is_set()
            )
            if full:
                self._dropped += 1
            else:
                self._waiting.append(one)
                self._waiting_bytes += size
        return not full

    def _run(self) -> None:
        while not self._closing.wait(self._settings.flush_s):
            self._flush()
        self._flush()
        self._writer.end()

    def _flush(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, deque()
        lines = []
        for one in waiting:
            try:
                lines.append(self._line(one))
            except Exception:  # the thread must outlive whatever one request trips over
                logger.exception("a request was not captured")
                self._drop(1)
        sizes = sum(map(_size, waiting))
        try:
            self._drop(self._writer.write(lines))
        except OSError as error:
            self._drop(len(lines))
            if time.monotonic() - self._complained >= COMPLAINT_EVERY_S:
                self._complained = time.monotonic()
                logger.warning("the spool cannot be written, requests are not captured: %s", error)
        with self._lock:
            self._waiting_bytes -= sizes

    def _drop(self, number: int) -> None:
        with self._lock:
            self._dropped += number

    def _line(self, one: Exchange | GivenFeedback) -> bytes:
        if isinstance(one, GivenFeedback):
            return to_line(FeedbackLine(request_id=one.request_id, at=_microseconds(one.at), said=one.said))
        return to_line(
            CaptureLine(
                request_id=one.request_id,
                at=_microseconds(one.at),
                latency_ms=one.seconds * 1_000,
                model_name=self._model.name,
                model_version=self._model.version,
                model_digest=self._model.digest,
                classes=self._model.classes,
                status=one.status,
                pictures=tuple(self._pictures(one)),
            )
        )

    def _pictures(self, exchange: Exchange) -> Iterator[PictureLine]:
        if exchange.reason is not None:
            # One line of a request without an answer; what it was about is known where it was one picture.
            only = exchange.pictures[0] if len(exchange.pictures) == 1 else None
            digest = None if only is None else blake3(only).hexdigest()
            yield PictureLine(reason=exchange.reason, input_digest=digest)
            return
        kept = is_picture_kept(exchange.request_id, self._settings.pictures)
        embeddings = iter(exchange.embeddings)
        for picture, answer in zip(exchange.pictures, exchange.answers, strict=True):
            digest = None if picture is None else blake3(picture).hexdigest()
            if isinstance(answer, PictureError):
                yield PictureLine(reason=answer.reason, input_digest=digest)
            else:
                embedding = next(embeddings)
                yield self._answered(picture, digest, answer, embedding, kept=kept)

    def _answered(
        self,
        picture: bytes | None,
        digest: str | None,
        answer: Prediction,
        embedding: NDArray[np.float32],
        *,
        kept: bool,
    ) -> PictureLine:
        stripped = None if picture is None else _stripped(picture)
        shown = stripped if kept else None
        scores = np.fromiter(answer.probabilities.values(), np.float32, len(answer.probabilities))
        return PictureLine(
            input_digest=digest,
            image_id=None if stripped is None else blake3(stripped.data).hexdigest(),
            label=answer.label,
            probability=answer.probability,
            scores=numbers_to_text(scores),
            embedding=numbers_to_text(embedding) if self._settings.embeddings else None,
            abstained=answer.abstained,
            picture=None if shown is None else base64.b64encode(shown.data).decode("ascii"),
            orientation=None if shown is None else shown.orientation,
        )


def _size(one: Exchange | GivenFeedback) -> int:
    """The bytes of its pictures."""
    pictures = one.pictures if isinstance(one, Exchange) else ()
    return sum(len(picture) for picture in pictures if picture is not None)


def _stripped(picture: bytes) -> Stripped | None:
    """A picture without its metadata; None where a decoder took more than can be cut without looking."""
    try:
        return strip_metadata(picture)
    except BadPicture:
        return None


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)
