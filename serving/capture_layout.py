"""Where captures and feedback lie below an artifact store's root, and what a row of each holds.

``captures/<environment>/<model>/date=YYYY-MM-DD/hour=HH/part-<digest>.parquet``, the hour in UTC, and
feedback likewise. A part is named by what it was made of, so that storing it twice stores it once, and its
name says whether it holds pictures.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["captures", "feedback"]
CAPTURES: Kind = "captures"
FEEDBACK: Kind = "feedback"
KINDS: tuple[Kind, ...] = (CAPTURES, FEEDBACK)
HOUR = re.compile(r"date=(\d{4}-\d{2}-\d{2})/hour=(\d{2})")
PART = re.compile(r"part-[0-9a-f]{64}(-pictures)?\.parquet")
WITH_PICTURES = "-pictures.parquet"
PICTURE = ("picture", "orientation")
"""The columns of a picture itself, which may go before the rest of its row."""
PERSONAL = ("input_digest", "image_id", "embedding", *PICTURE)
"""The columns that say something of a picture that was erased: what is left tells how the model did."""


def folder_of(kind: Kind, environment: str, model_name: str) -> str:
    """Below the store's root: all that one model captured in one environment."""
    return f"{kind}/{environment}/{model_name}"


def folder_of_hour(hour: datetime) -> str:
    """Below :func:`folder_of`: the parts of the hour in which a moment lies."""
    moment = hour.astimezone(UTC)
    return f"date={moment:%Y-%m-%d}/hour={moment:%H}"


def hour_of(place: str) -> datetime | None:
    """The begin of the hour whose part lies at a path; None where the path is none of ours."""
    found = HOUR.search(place)
    if found is None:
        return None
    try:
        return datetime.strptime(f"{found[1]} {found[2]}", "%Y-%m-%d %H").replace(tzinfo=UTC)
    except ValueError:
        return None


def part_name(digest: str, *, pictures: bool) -> str:
    """The name of a part.

    Args:
        digest: of what it was made of, in hex.
        pictures: whether a row of it holds one.
    """
    return f"part-{digest}{WITH_PICTURES if pictures else '.parquet'}"


def is_part_name(name: str) -> bool:
    """Whether a file of this name is a part that was written to its end."""
    return PART.fullmatch(name) is not None


def without(name: str) -> str:
    """The name of a part once its pictures are taken out."""
    return name.replace(WITH_PICTURES, ".parquet")


def has_pictures(name: str) -> bool:
    """Whether a part of this name holds pictures."""
    return name.endswith(WITH_PICTURES)


def schema_of(kind: Kind) -> pa.Schema:
    """The columns of a part.

    Of captures, one row a picture; of a request that has no usable picture, or failed, one row:

    - ``request_id``; ``position``: of the picture in its request; ``at``: when all of it had arrived;
      ``latency_ms``: from then to its answer, in the service, what it waited included
    - ``model_name``, ``model_version``, ``model_digest``: what answered
    - ``status``: HTTP's; ``reason``: why there is no answer
    - ``input_digest``: blake3 (hex) of the bytes as they were sent, ``image_id``: of those bytes without
      metadata; a dataset knows its pictures by the same two
    - ``label``, ``probability``: the answer; ``scores``: the probabilities in the order of ``classes``;
      ``embedding``; ``abstained``
    - ``picture``: encoded as it was sent, without metadata, of a share of the requests; ``orientation``: 1 to
      8, what its metadata said

    Of feedback, ``position`` None means the request as a whole, or its only picture; ``at`` is when it was
    posted, ``value`` a business figure.
    """
    import pyarrow as pa

    moment = pa.timestamp("us", tz="UTC")
    if kind == FEEDBACK:
        return pa.schema(
            [
                pa.field("request_id", pa.string(), nullable=False),
                pa.field("position", pa.int32()),
                pa.field("at", moment, nullable=False),
                pa.field("label", pa.string()),
                pa.field("reward", pa.float64()),
                pa.field("value", pa.float64()),
            ]
        )
    return pa.schema(
        [
            pa.field("request_id", pa.string(), nullable=False),
            pa.field("position", pa.int32(), nullable=False),
            pa.field("at", moment, nullable=False),
            pa.field("latency_ms", pa.float64(), nullable=False),
            pa.field("model_name", pa.string(), nullable=False),
            pa.field("model_version", pa.string(), nullable=False),
            pa.field("model_digest", pa.string(), nullable=False),
            pa.field("status", pa.int16(), nullable=False),
            pa.field("reason", pa.string()),
            pa.field("input_digest", pa.string()),
            pa.field("image_id", pa.string()),
            pa.field("label", pa.string()),
            pa.field("probability", pa.float64()),
            pa.field("scores", pa.list_(pa.float32())),
            pa.field("classes", pa.list_(pa.string())),
            pa.field("embedding", pa.list_(pa.float32())),
            pa.field("abstained", pa.bool_()),
            pa.field("picture", pa.binary()),
            pa.field("orientation", pa.int8()),
        ]
    )


def to_parquet(kind: Kind, rows: Sequence[Mapping[str, Any]]) -> bytes:
    """A part of these rows.

    Args:
        kind: of what.
        rows: by the names of :func:`schema_of`; a column that is missing is null.

    Raises:
        pyarrow.ArrowException: a value does not fit its column.
    """
    import pyarrow as pa

    schema = schema_of(kind)
    columns = [pa.array([row.get(field.name) for row in rows], field.type) for field in schema]
    return table_to_parquet(pa.Table.from_arrays(columns, schema=schema))


def table_to_parquet(table: pa.Table) -> bytes:
    """A table as Parquet. Pictures are stored as they are, so that a search for their bytes finds them."""
    import pyarrow.parquet as pq

    plain = {"picture"}
    columns: Iterable[str] = table.schema.names
    packed = [name for name in columns if name not in plain]
    buffer = io.BytesIO()
    pq.write_table(
        table,
        buffer,
        compression={name: "NONE" if name in plain else "ZSTD" for name in columns},
        use_dictionary=[name for name in packed if name not in ("scores", "embedding")],
        write_statistics=["at"],
    )
    return buffer.getvalue()
