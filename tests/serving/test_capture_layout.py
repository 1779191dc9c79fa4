"""Where captures lie, and that a part says what it is."""

import io
from datetime import UTC, datetime, timedelta, timezone

import pyarrow.parquet as pq
import pytest

from serving.capture_layout import (
    CAPTURES,
    FEEDBACK,
    folder_of,
    folder_of_hour,
    has_pictures,
    hour_of,
    is_part_name,
    part_name,
    schema_of,
    to_parquet,
)

NOON = datetime(2026, 11, 5, 12, 30, tzinfo=UTC)
DIGEST = "ab" * 32


def test_a_moment_is_in_the_folder_of_its_hour_in_utc() -> None:
    """Whatever time zone it was given in, and the folder gives the hour back."""
    elsewhere = NOON.astimezone(timezone(timedelta(hours=9)))
    assert folder_of_hour(NOON) == folder_of_hour(elsewhere) == "date=2026-11-05/hour=12"
    part = part_name(DIGEST, pictures=False)
    place = f"{folder_of(CAPTURES, 'staging', 'shoes')}/{folder_of_hour(NOON)}/{part}"
    assert place == f"captures/staging/shoes/date=2026-11-05/hour=12/part-{DIGEST}.parquet"
    assert hour_of(place) == NOON.replace(minute=0)


@pytest.mark.parametrize("place", ["date=2026-13-01/hour=12", "date=2026-11-05/hour=24", "notes/hour=12", ""])
def test_what_is_no_hour_is_none(place: str) -> None:
    """A folder that somebody made is not taken for one of ours."""
    assert hour_of(place) is None


@pytest.mark.parametrize("name", [f".part-{DIGEST}.parquet.{'0' * 32}.part", "part-1.parquet", "notes.txt"])
def test_what_is_no_part_is_none(name: str) -> None:
    """A file that is written still, or another program's."""
    assert not is_part_name(name)


@pytest.mark.parametrize("pictures", [True, False])
def test_a_name_says_whether_a_part_holds_pictures(pictures: bool) -> None:
    """So that nobody has to open one to know."""
    name = part_name(DIGEST, pictures=pictures)
    assert is_part_name(name)
    assert has_pictures(name) is pictures


def test_the_bytes_of_a_picture_stand_in_a_part_as_they_are() -> None:
    """The search that proves an erasure reads files, and must find them."""
    pixels = bytes(range(256)) * 40
    shared = {"request_id": "a", "position": 0, "at": NOON, "latency_ms": 1.0, "status": 200}
    model = {"model_name": "m", "model_version": "1", "model_digest": DIGEST}
    rows = [{**shared, **model, "picture": pixels, "label": "bags"} for _ in range(2)]
    assert to_parquet(CAPTURES, rows).count(pixels) == 2


@pytest.mark.parametrize("kind", [CAPTURES, FEEDBACK])
def test_a_part_has_every_column_and_stays_readable_without_rows(kind: str) -> None:
    """The schema is the file's, whatever rows say."""
    table = pq.read_table(io.BytesIO(to_parquet(kind, [])))  # type: ignore[arg-type]
    assert table.schema.equals(schema_of(kind))  # type: ignore[arg-type]
