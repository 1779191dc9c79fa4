"""What services captured, made for tests: through the spool and the shipper, as a service does it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import numpy as np

from materializers.drift_reference import DriftReference
from serving.capture import Recorder
from serving.capture_layout import CAPTURES, FEEDBACK, folder_of, folder_of_hour, part_name, to_parquet
from serving.capture_options import CaptureSettings
from serving.captured_line import Said
from serving.part_store import open_store
from serving.predictor import PictureError, Prediction
from serving.reasons import PictureReason
from serving.recording import Exchange, GivenFeedback, Model
from serving.shipper import Shipper

CLASSES = ("bags", "dresses", "tops")
MODEL = Model(name="product-classifier", version="7", digest="7" * 64, classes=CLASSES)
NOON = datetime(2026, 11, 5, 12, 30, tzinfo=UTC)
EMBEDDING = (0.5, -1.0)
OK = 200


@dataclass(frozen=True)
class Asked:
    """A picture as it was sent, and its answer."""

    data: bytes | None
    answer: Prediction | PictureError


def answered(
    request_id: str,
    *pictures: Asked,
    at: datetime = NOON,
    latency_ms: float = 12.5,
    status: int = OK,
    reason: str | None = None,
) -> Exchange:
    """A request; without pictures one that was answered ``bags``, or whose status says why not."""
    asked = pictures or ((picture(),) if status == OK else ())
    predictions = [each for each in asked if isinstance(each.answer, Prediction)]
    return Exchange(
        request_id=request_id,
        at=at.timestamp(),
        seconds=latency_ms / 1_000,
        status=status,
        reason=reason,
        pictures=[each.data for each in asked],
        answers=[each.answer for each in asked],
        logits=np.zeros((len(predictions), len(CLASSES)), np.float32),
        embeddings=np.array([EMBEDDING] * len(predictions), np.float32).reshape(-1, len(EMBEDDING)),
    )


def picture(
    data: bytes | None = b"bytes", scores: Sequence[float] = (0.7, 0.2, 0.1), *, abstained: bool = False
) -> Asked:
    """A picture and its answer."""
    by_class = dict(zip(CLASSES, scores, strict=True))
    best = max(by_class, key=by_class.__getitem__)
    return Asked(data, Prediction(best, by_class[best], by_class, abstained))


def bad_picture(data: bytes | None, reason: PictureReason) -> Asked:
    """A picture that has no answer."""
    return Asked(data, PictureError(reason, "why"))


def said(request_id: str, *what: Said, at: datetime = NOON) -> GivenFeedback:
    """What somebody said of a request."""
    return GivenFeedback(request_id=request_id, at=at.timestamp(), said=what)


def spooled(
    spool: Path,
    requests: Iterable[Exchange | GivenFeedback],
    *,
    model: Model = MODEL,
    environment: str = "staging",
    pictures: float = 0.0,
) -> None:
    """Write requests into a spool, as a service that has ended."""
    settings = CaptureSettings(spool, environment, pictures=pictures, flush_s=0.01)
    recorder = Recorder(settings, model)
    for request in requests:
        if isinstance(request, GivenFeedback):
            assert recorder.feedback(request)
        else:
            recorder.record(request)
    recorder.close()
    assert recorder.dropped == 0


def shipped(
    store: str | Path,
    spool: Path,
    requests: Iterable[Exchange | GivenFeedback],
    *,
    model: Model = MODEL,
    environment: str = "staging",
    pictures: float = 0.0,
) -> Shipper:
    """Write requests into a spool and carry them to an artifact store."""
    spooled(spool, requests, model=model, environment=environment, pictures=pictures)
    shipper = Shipper(spool, open_store(str(store)))
    shipper.ship()
    return shipper


def answers_like(
    reference: DriftReference, n: int, *, model_name: str, version: int, at: datetime, **changed: Any
) -> list[dict[str, Any]]:
    """Captured answers like a reference's own, each with its ``truth``, which is not captured."""
    draw = np.random.default_rng(0)
    embedded = reference.rows["embedded"].to_numpy().nonzero()[0]
    rows = []
    for number in draw.choice(len(embedded), n):
        scores = reference.scores[embedded[number]]
        rows.append(
            {
                **{"request_id": uuid4().hex, "position": 0, "at": at, "latency_ms": 5.0, "status": 200},
                **{"model_name": model_name, "model_version": str(version)},
                **{"model_digest": reference.model, "classes": list(reference.classes)},
                **{"input_digest": uuid4().hex, "scores": scores.tolist(), "abstained": False},
                **{"label": reference.classes[int(scores.argmax())], "probability": float(scores.max())},
                "embedding": reference.embeddings[number].tolist(),
                "truth": str(reference.rows["label"].iloc[embedded[number]]),
                **changed,
            }
        )
    return rows


def strip(row: dict[str, Any]) -> dict[str, Any]:
    """A captured row without what only the tests know of it."""
    return {key: value for key, value in row.items() if key != "truth"}


def lay(
    root: Path, kind: Literal["captures", "feedback"], model_name: str, rows: list[dict[str, Any]]
) -> Path:
    """Lay rows of staging into an artifact store as the shipper does."""
    content = to_parquet(kind, rows)
    folder = root / folder_of(kind, "staging", model_name) / folder_of_hour(rows[0]["at"])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / part_name(hashlib.sha256(content).hexdigest(), pictures=False)
    path.write_bytes(content)
    return path


def lay_answers(
    root: Path, model_name: str, rows: list[dict[str, Any]], *, labelled_after: timedelta | None
) -> None:
    """Lay answers into an artifact store, and so much later what was right; None: nobody said."""
    lay(root, CAPTURES, model_name, [strip(row) for row in rows])
    if labelled_after is not None:
        said = [
            {"request_id": row["request_id"], "at": row["at"] + labelled_after, "label": row["truth"]}
            for row in rows
        ]
        lay(root, FEEDBACK, model_name, said)


def wait_for(condition: Callable[[], object], *, timeout_s: float = 30.0) -> None:
    """Wait until a condition holds."""
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, "it did not come about in time"
        time.sleep(0.02)
