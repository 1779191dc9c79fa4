"""One line of a spool: what a service writes of a request or of a feedback, and the rows that it becomes."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from serving.capture_layout import CAPTURES, FEEDBACK, PERSONAL, Kind

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEWLINE = b"\n"
MOST_POSITION = 2**31 - 1
Microseconds = Annotated[int, Field(ge=0, lt=253_402_300_800_000_000)]
"""Since 1970, UTC; until the year 9999."""


class DamagedLine(ValueError):
    """A line is none that a service wrote whole; the message says why, without its content."""


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class PictureLine(_Line):
    """One picture of a request: ``scores`` and ``embedding`` are little-endian float32 in base64."""

    reason: str | None = None
    input_digest: str | None = None
    image_id: str | None = None
    label: str | None = None
    probability: float | None = None
    scores: str | None = None
    embedding: str | None = None
    abstained: bool | None = None
    picture: str | None = None
    orientation: int | None = Field(default=None, ge=1, le=8)


class CaptureLine(_Line):
    """One request; ``at`` is in microseconds since 1970, UTC. ``pictures`` has one at least."""

    kind: Literal["captures"] = CAPTURES  # type: ignore[assignment]
    request_id: str
    at: Microseconds
    latency_ms: float
    model_name: str
    model_version: str
    model_digest: str
    classes: tuple[str, ...]
    status: int = Field(ge=0, le=999)
    pictures: tuple[PictureLine, ...] = Field(min_length=1)


class Said(_Line):
    """What a feedback says of one picture of a request, or of all of it (``position`` None)."""

    position: int | None = Field(default=None, ge=0, le=MOST_POSITION)
    label: str | None = None
    reward: float | None = None
    value: float | None = None


class FeedbackLine(_Line):
    """One feedback; ``at`` is in microseconds since 1970, UTC."""

    kind: Literal["feedback"] = FEEDBACK  # type: ignore[assignment]
    request_id: str
    at: Microseconds
    said: tuple[Said, ...] = Field(min_length=1)


Line: TypeAlias = CaptureLine | FeedbackLine
LINE: TypeAdapter[Line] = TypeAdapter(Annotated[Line, Field(discriminator="kind")])


ABOUT_A_REQUEST = tuple(
    dict.fromkeys(
        name for kind in (CaptureLine, FeedbackLine) for name in kind.model_fields if name != "pictures"
    )
)
ABOUT_A_PICTURE = tuple(name for name in PictureLine.model_fields if name not in PERSONAL)


def to_line(line: Line) -> bytes:
    """As it is written, with the newline."""
    return line.model_dump_json(exclude_none=True).encode() + NEWLINE


def numbers_to_text(values: NDArray[np.float32]) -> str:
    """An array ``(n,)`` as base64 of little-endian float32."""
    return base64.b64encode(values.astype("<f4").tobytes()).decode("ascii")


def rows_of(line: bytes) -> tuple[Kind, list[dict[str, Any]]]:
    """The rows of one line, by the columns of :func:`serving.capture_layout.schema_of`.

    Raises:
        DamagedLine: it was cut short, or altered.
    """
    try:
        parsed = LINE.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the line"
        raise DamagedLine(f"{place}: {first['msg']}") from error
    at = EPOCH + timedelta(microseconds=parsed.at)
    if isinstance(parsed, FeedbackLine):
        shared = {"request_id": parsed.request_id, "at": at}
        return FEEDBACK, [{**shared, **said.model_dump()} for said in parsed.said]
    shared = parsed.model_dump(exclude={"kind", "pictures", "classes", "at"})
    return CAPTURES, [
        {**shared, "at": at, "position": position, **_columns_of(picture, parsed.classes)}
        for position, picture in enumerate(parsed.pictures)
    ]


def without_pictures(line: bytes) -> dict[str, Any] | None:
    """What a damaged line says of the request and the answers; nothing of it says what is in a picture.

    Args:
        line: of a spool.

    Returns:
        Its fields of the names above, but for those of ``PERSONAL``; None where it is no JSON object, so that
        nobody can tell what is what.
    """
    try:
        read = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(read, dict):
        return None
    kept = {name: read[name] for name in ABOUT_A_REQUEST if name in read}
    pictures = read.get("pictures")
    if isinstance(pictures, list):
        kept["pictures"] = [
            {name: picture[name] for name in ABOUT_A_PICTURE if name in picture}
            for picture in pictures
            if isinstance(picture, dict)
        ]
    return kept


def _columns_of(picture: PictureLine, classes: tuple[str, ...]) -> dict[str, Any]:
    columns = picture.model_dump(exclude={"scores", "embedding", "picture"})
    scores = _numbers(picture.scores)
    if scores is not None and len(scores) != len(classes):
        raise DamagedLine(f"{len(scores)} scores for {len(classes)} classes")
    return {
        **columns,
        "scores": scores,
        "classes": list(classes) if scores is not None else None,
        "embedding": _numbers(picture.embedding),
        "picture": None if picture.picture is None else _decoded(picture.picture),
    }


def _numbers(text: str | None) -> NDArray[np.float32] | None:
    if text is None:
        return None
    data = _decoded(text)
    if len(data) % 4:
        raise DamagedLine(f"{len(data)} bytes are no float32")
    return np.frombuffer(data, "<f4")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DamagedLine(f"no base64: {error}") from error
