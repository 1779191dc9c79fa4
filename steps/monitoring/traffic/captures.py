"""Read what services captured, and what was said of it since: the parts of the hours that are asked for.

A part that cannot be read is named in the log and in ``attrs["unreadable"]`` of the table, and stops nothing.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pandas as pd

from materializers.blobs import list_folder, read_blob, store_errors, write_blob
from materializers.errors import DamagedArtifact
from materializers.release import Environment
from materializers.store_files import remove_file, stored_file, walk_files
from serving.capture_layout import (
    CAPTURES,
    FEEDBACK,
    PICTURE,
    Kind,
    folder_of,
    has_pictures,
    hour_of,
    is_part_name,
    schema_of,
    table_to_parquet,
    without,
)
from steps.data.stored import active_store

if TYPE_CHECKING:
    import pyarrow as pa
    from zenml.artifact_stores import BaseArtifactStore

HOUR = timedelta(hours=1)
READERS = 8
"""Parts that are read at the same time: of a bucket each costs a request."""
UNREADABLE = "unreadable"
"""The key of a table's ``attrs`` that lists the parts, below the store's root, that could not be read."""
NAMES = ("image_id", "input_digest")
"""The columns by which a captured picture is known."""
LISTED = 5

logger = logging.getLogger("shutterline.captures")


def read_captures(
    model_name: str,
    environment: Environment,
    *,
    since: datetime,
    until: datetime | None = None,
    columns: Sequence[str] | None = None,
    only_parts_with_pictures: bool = False,
    image_ids: Collection[str] | None = None,
) -> pd.DataFrame:
    """What was captured of a model in an environment, from the active stack's artifact store.

    Args:
        model_name: the registered model.
        environment: where it served.
        since: the first moment, with its time zone.
        until: the moment that ends it, not included; None: now.
        columns: of :func:`serving.capture_layout.schema_of`; None: all but ``picture`` and ``embedding``.
        only_parts_with_pictures: whoever wants nothing else need not read the rest.
        image_ids: of the pictures that are wanted, where ``columns`` has ``image_id``: while parts are read
            no other row is kept in memory; None: all.

    Returns:
        One row a picture, by time, with ``at`` in UTC; ``scores``, ``classes`` and ``embedding`` are arrays.

    Raises:
        ServiceUnreachable: the store does not answer.
    """
    given = columns if columns is not None else _but(CAPTURES, "picture", "embedding")
    wanted = has_pictures if only_parts_with_pictures else is_part_name
    return _read(
        CAPTURES,
        model_name,
        environment,
        since=since,
        until=until,
        columns=given,
        wanted_part=wanted,
        image_ids=image_ids,
    )


def read_feedback(
    model_name: str,
    environment: Environment,
    *,
    since: datetime,
    until: datetime | None = None,
) -> pd.DataFrame:
    """What was said of a model's answers; see :func:`read_captures`.

    Feedback comes later than the answer: ``since`` and ``until`` are of when it was posted.

    Returns:
        One row a label, and one a reward or value, by time.

    Raises:
        ServiceUnreachable: the store does not answer.
    """
    return _read(FEEDBACK, model_name, environment, since=since, until=until, columns=_but(FEEDBACK))


def unknown_versions(captures: pd.DataFrame, known: Collection[int]) -> dict[str, int]:
    """The versions that answered and that the registry does not know, with their number of rows."""
    counts = captures["model_version"].value_counts()
    names = {str(version) for version in known}
    return {str(version): int(count) for version, count in counts.items() if version not in names}


def parts_between(
    store: BaseArtifactStore, folder: str, since: datetime, until: datetime
) -> Iterator[tuple[str, str]]:
    """The parts of the hours between two moments: each with its address and its path below the store's root.

    Args:
        store: where they lie.
        folder: of :func:`serving.capture_layout.folder_of`.
        since: the first moment.
        until: the moment that ends it.

    Raises:
        OSError: the store cannot be read.
    """
    root = str(store.path).rstrip("/")
    for date in sorted(list_folder(store, f"{root}/{folder}")):
        day = hour_of(f"{date}/hour=00")
        if day is None or day >= until or day + timedelta(days=1) <= since:
            continue
        for name in sorted(list_folder(store, f"{root}/{folder}/{date}")):
            place = f"{folder}/{date}/{name}"
            hour = hour_of(place)
            if hour is None or hour >= until or hour + HOUR <= since:
                continue
            names = list_folder(store, f"{root}/{place}")
            for part in sorted(names):
                # Who was killed while taking pictures out of a part left both: the same rows.
                if is_part_name(part) and not (has_pictures(part) and without(part) in names):
                    yield f"{root}/{place}/{part}", f"{place}/{part}"


def _read(
    kind: Kind,
    model_name: str,
    environment: Environment,
    *,
    since: datetime,
    until: datetime | None,
    columns: Sequence[str],
    wanted_part: Callable[[str], bool] = is_part_name,
    image_ids: Collection[str] | None = None,
) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.compute as pc

    store, end = active_store(), until or datetime.now(UTC)
    wanted = list(dict.fromkeys(["at", *columns]))
    unreadable: list[str] = []
    only = None if image_ids is None else pa.array([*image_ids], pa.string())

    def read(part: tuple[str, str]) -> pa.Table | None:
        try:
            table = read_part(store, part[0], kind, wanted)
            return table if only is None else table.filter(pc.is_in(table["image_id"], value_set=only))
        except FileNotFoundError:  # past its time, and removed since it was listed
            return None
        except DamagedArtifact:
            unreadable.append(part[1])
            return None

    with store_errors(f"read the {kind} of {model_name} in {environment}"):
        listed = parts_between(store, folder_of(kind, environment, model_name), since, end)
        parts = [part for part in listed if wanted_part(part[1].rpartition("/")[2])]
        with ThreadPoolExecutor(READERS) as pool:
            tables = [table for table in pool.map(read, parts) if table is not None]
    schema = pa.schema([schema_of(kind).field(name) for name in wanted])
    table = pa.concat_tables(tables) if tables else schema.empty_table()
    first, after = (pa.scalar(moment, schema.field("at").type) for moment in (since, end))
    table = table.filter(pc.and_(pc.greater_equal(table["at"], first), pc.less(table["at"], after)))
    frame: pd.DataFrame = table.to_pandas().sort_values("at", kind="stable", ignore_index=True)
    if unreadable:
        unreadable.sort()
        logger.warning(
            "%d of %d parts cannot be read, and are left out: %s",
            len(unreadable),
            len(parts),
            ", ".join(unreadable[:LISTED]),
        )
    frame = frame[list(dict.fromkeys(columns))]
    frame.attrs[UNREADABLE] = unreadable
    return frame


def read_part(
    store: BaseArtifactStore, uri: str, kind: Kind, columns: Sequence[str] | None = None
) -> pa.Table:
    """The columns of one part, all where none are named.

    Raises:
        DamagedArtifact: it was cut short, or altered.
        OSError: the store cannot be read, or the part is not there.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = read_blob(store, uri)
    schema = schema_of(kind)
    names = list(columns) if columns is not None else schema.names
    try:
        table = pq.read_table(io.BytesIO(data), columns=names)
        return table.select(names).cast(pa.schema([schema.field(name) for name in names]))
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:  # a damaged file raises any of them
        raise DamagedArtifact(f"The part {uri} cannot be read ({error})") from error


def capture_parts(store: BaseArtifactStore) -> list[str]:
    """The addresses of all parts of captures, of every model and environment.

    Raises:
        OSError: the store cannot be read.
    """
    files = walk_files(store, f"{str(store.path).rstrip('/')}/{CAPTURES}")
    return [file.uri for file in files if is_part_name(file.uri.rpartition("/")[2])]


def known_pictures(store: BaseArtifactStore, uri: str) -> list[tuple[str, ...]]:
    """The digests of each captured picture of a part: without metadata where that is known, and as sent.

    Raises:
        DamagedArtifact: it cannot be read.
        OSError: the store cannot be read, or the part is not there.
    """
    rows = read_part(store, uri, CAPTURES, NAMES).to_pylist()
    named = (tuple(row[name] for name in NAMES if row[name] is not None) for row in rows)
    return [digests for digests in named if digests]


def without_pictures(store: BaseArtifactStore, uri: str) -> int:
    """Write a part anew without its pictures and remove the old one; the bytes that went.

    Raises:
        DamagedArtifact: it cannot be read.
        OSError: the store cannot be read or written.
    """
    import pyarrow as pa

    try:
        table = read_part(store, uri, CAPTURES)
    except FileNotFoundError:
        return 0
    for name in PICTURE:
        place, about = table.schema.get_field_index(name), table.schema.field(name)
        table = table.set_column(place, about, pa.nulls(len(table), about.type))
    before, data = stored_file(store, uri), table_to_parquet(table)
    write_blob(store, without(uri), data)
    remove_file(store, uri)
    return (before.size if before is not None else 0) - len(data)


def _but(kind: Kind, *left_out: str) -> list[str]:
    return [name for name in schema_of(kind).names if name not in left_out]
