"""The index of a dataset: a row a picture, what each row says in one digest, and its form on disk.

A row says its picture, label, group, time and the deliveries' other columns. Everything else follows from the
picture or says where it lies, and is no part of a version.
"""

from __future__ import annotations

import binascii
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

ColumnType: TypeAlias = Any
"""A type of NumPy or of pandas: the two share none."""
TEXT: ColumnType = pd.StringDtype("pyarrow")
COUNT: ColumnType = pd.Int64Dtype()
WHOLE: ColumnType = np.dtype("int64")
MEASURE: ColumnType = np.dtype("float64")

SAID_COLUMNS = ("image_id", "label", "group", "captured_at")
"""What every row can say; a delivery's other columns are said too."""
PLACE_COLUMNS = ("shard", "shard_row", "shard_offset", "byte_count")
MEASURES: dict[str, ColumnType] = {
    "image_format": TEXT,
    "brightness": MEASURE,
    "contrast": MEASURE,
    "sharpness": MEASURE,
    "saturation": MEASURE,
    "phash": TEXT,
    "faces": COUNT,
    "texts": COUNT,
    "masked": COUNT,
    "unmasked_digest": TEXT,
    "cluster": TEXT,
}
"""What is computed from pictures, by column; a value that nobody computed is missing."""
OF_THE_BYTES = ("image_format", "masked", "unmasked_digest")
"""Measures that hold however a picture is turned."""
DTYPES: dict[str, ColumnType] = {
    **dict.fromkeys(SAID_COLUMNS, TEXT),
    "source_digest": TEXT,
    **dict.fromkeys(("width", "height", "orientation"), WHOLE),
    "source": TEXT,
    "row_digest": TEXT,
    "shard": TEXT,
    **dict.fromkeys(PLACE_COLUMNS[1:], WHOLE),
    **MEASURES,
}
"""The columns that every index has, in their order; any other column is text."""
INDEX_COLUMNS = tuple(DTYPES)
LATER_COLUMNS = ("unmasked_digest",)
"""Columns that an index may lack that was stored before there were any."""
DERIVED_COLUMNS = tuple(name for name in INDEX_COLUMNS if name not in SAID_COLUMNS)
"""Columns that follow from the picture or say where it came from and lies: not part of the version."""
TOMBSTONE_COLUMNS = ("image_id", "row_digest")

UNKNOWN_PLACE = -1
"""``shard_offset`` and ``byte_count`` of a picture in a shard of format 1, which only tells rows."""
DIGEST_BYTES = 32
ROWS_AT_A_TIME = 2**17
"""Rows that are encoded together: their text lies in memory once more meanwhile."""
KEY_DIGITS = 16
HEX_COLUMNS = ("image_id", "source_digest")
DIGEST = f"^[0-9a-f]{{{2 * DIGEST_BYTES}}}$"


# --- In memory --------------------------------------------------------------------------------------------


def complete(index: pd.DataFrame) -> pd.DataFrame:
    """Give an index every column in its type and place, sorted by ``image_id``, with the digest of each row.

    Raises:
        ValueError: an ``image_id`` is no digest.
    """
    if not _are_digests(arrow(index["image_id"].astype(TEXT))):
        raise ValueError(f"An image_id is no digest of {2 * DIGEST_BYTES} hexadecimal digits.")
    others = [name for name in index.columns if name not in DTYPES]
    columns = {
        name: typed(index[name], name) if name in index else missing(len(index), name)
        for name in (*INDEX_COLUMNS, *others)
    }
    rows = in_order(sorted_rows(pd.DataFrame(columns, copy=False)))
    return rows.assign(row_digest=row_digests(rows))


def in_order(index: pd.DataFrame) -> pd.DataFrame:
    """The columns that every index has, then those that deliveries brought, by name."""
    return index[_ordered(index.columns)]


def _ordered(names: Iterable[str]) -> list[str]:
    return [*INDEX_COLUMNS, *sorted(name for name in names if name not in DTYPES)]


def sorted_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows in the order of ``image_id``, numbered from 0."""
    image_ids = arrow(rows["image_id"])
    keys = _keys(image_ids)
    if not np.all(keys[:-1] < keys[1:]):
        order = np.argsort(keys)
        ordered = keys[order]
        alike = np.any(ordered[:-1] == ordered[1:])  # beyond the digits that were compared
        rows = rows.take(pc.sort_indices(image_ids).to_numpy() if alike else order)
    return rows.reset_index(drop=True)


def stacked(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The rows of several complete indices with the columns of all, sorted by ``image_id``."""
    others = sorted({name for frame in frames for name in frame.columns} - set(INDEX_COLUMNS))
    wide = [
        frame.assign(**{name: missing(len(frame), name) for name in others if name not in frame})
        for frame in frames
    ]
    filled = [frame for frame in wide if len(frame)] or wide[:1]
    return sorted_rows(pd.concat([frame[[*INDEX_COLUMNS, *others]] for frame in filled], ignore_index=True))


def tombstone_rows(rows: pd.DataFrame | None = None) -> pd.DataFrame:
    """Only the picture and the digest of each row, sorted; none without ``rows``."""
    if rows is None:
        rows = pd.DataFrame({name: pd.array([], dtype=TEXT) for name in TOMBSTONE_COLUMNS})
    return sorted_rows(rows[list(TOMBSTONE_COLUMNS)].astype(TEXT))


def said_columns(index: Iterable[str]) -> list[str]:
    """The columns of an index that are part of what a row says, ``image_id`` among them."""
    return [name for name in index if name not in DERIVED_COLUMNS]


def text_of(value: object) -> str | None:
    """A value of a delivery's column as text; None for a missing one."""
    return None if value is None or value is pd.NA or value != value else str(value)  # noqa: PLR0124 (NaN)


def arrow(values: Any) -> pa.Array:
    """A text column as one Arrow array; no text is copied where it is one already."""
    found = pa.array(values, from_pandas=True)
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def is_among(image_ids: pd.Series, known: pd.Series) -> NDArray[np.bool_]:
    """Which of the pictures are among the known ones."""
    among: NDArray[np.bool_] = pc.is_in(arrow(image_ids), value_set=arrow(known)).to_numpy(
        zero_copy_only=False
    )
    return among


def typed(values: Any, name: str) -> Any:
    """Values in the type of their column, as an array."""
    dtype: ColumnType = DTYPES.get(name, TEXT)
    if dtype != TEXT:
        return pd.Series(values, dtype=dtype).array
    if getattr(values, "dtype", None) != TEXT:
        values = TEXT.__from_arrow__(pa.array([text_of(value) for value in values], pa.large_string()))
    return values.array if isinstance(values, pd.Series) else values


def missing(rows: int, name: str) -> Any:
    """A column without a value, as an array."""
    dtype: ColumnType = DTYPES.get(name, TEXT)
    if dtype == WHOLE:
        return np.full(rows, UNKNOWN_PLACE, dtype=WHOLE)
    if dtype == MEASURE:
        return np.full(rows, np.nan)
    return dtype.__from_arrow__(pa.nulls(rows, pa.int64() if dtype == COUNT else pa.large_string()))


# --- Digests ----------------------------------------------------------------------------------------------


def row_digests(index: pd.DataFrame | Mapping[str, Any]) -> Any:
    """The sha256 (hex) of what each row says, as a text array.

    A row is written as netstrings (``LENGTH:BYTES``): the name and the value of each column that has a value,
    in the order of the names. So no two rows are written alike, and a column without a value says nothing.

    Args:
        index: columns of one length; those that are not part of what a row says are ignored.
    """
    names = sorted(said_columns(index.keys()))
    said = {name: arrow(index[name]).cast(pa.large_binary()) for name in names}
    rows = len(said["image_id"])
    raw = b"".join(
        [
            hashlib.sha256(row).digest()
            for start in range(0, rows, ROWS_AT_A_TIME)
            for row in _encoded({name: values.slice(start, ROWS_AT_A_TIME) for name, values in said.items()})
        ]
    )
    return TEXT.__from_arrow__(_hex(raw))


def _encoded(said: Mapping[str, pa.Array]) -> list[bytes]:
    """Each row's netstrings."""
    kind = pa.large_binary()
    colon, nothing = pa.scalar(b":", kind), pa.scalar(b"", kind)
    fields = []
    for name, values in said.items():
        if values.null_count == len(values):
            continue
        lengths = pc.binary_length(values).cast(pa.large_string()).cast(kind)
        field = [pa.scalar(f"{len(name.encode())}:{name}".encode(), kind), lengths, colon, values]
        if values.null_count:
            field = [pc.fill_null(pc.binary_join_element_wise(*field, nothing), nothing)]
        fields += field
    rows: list[bytes] = pc.binary_join_element_wise(*fields, nothing).to_pylist()
    return rows


def version_of(*row_digests: pd.Series) -> str:
    """The sha256 (hex) of all these rows' digests, sorted, 32 bytes each."""
    raw = b"".join(_raw(arrow(digests)) for digests in row_digests)
    ordered = np.sort(np.frombuffer(raw, dtype=f"S{DIGEST_BYTES}"))
    return hashlib.sha256(ordered.tobytes()).hexdigest()


def _hex(raw: bytes | memoryview) -> pa.Array:
    """Digests one after another as an array of their hexadecimal digits."""
    width = 2 * DIGEST_BYTES
    offsets = np.arange(0, 2 * len(raw) + 1, width, dtype=np.int64)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(binascii.hexlify(raw))]
    return pa.Array.from_buffers(pa.large_string(), len(offsets) - 1, buffers)


def _raw(digits: pa.Array) -> bytes:
    """The bytes of an array of hexadecimal digits, one after another."""
    _, offsets, data = digits.buffers()
    if data is None:
        return b""
    wide = np.int64 if digits.type == pa.large_string() else np.int32
    starts = np.frombuffer(offsets, dtype=wide)
    first, last = starts[digits.offset], starts[digits.offset + len(digits)]
    return binascii.unhexlify(memoryview(data)[first:last])


# --- Looking pictures up ----------------------------------------------------------------------------------


class Lookup:
    """Finds the rows of pictures in a sorted index by binary search: 8 bytes a picture."""

    def __init__(self, image_ids: pd.Series) -> None:
        self._image_ids = arrow(image_ids)
        self._keys = _keys(self._image_ids)

    def rows(self, image_ids: Sequence[str]) -> NDArray[np.int64]:
        """The row of each picture.

        Raises:
            KeyError: one is not there.
        """
        rows = self.find(image_ids)
        if len(absent := np.flatnonzero(rows < 0)):
            raise KeyError(f"{image_ids[absent[0]]} is not in this dataset of {len(self._keys):,} pictures")
        return rows

    def find(self, image_ids: Sequence[str]) -> NDArray[np.int64]:
        """The row of each picture; -1 for one that is not there."""
        if not len(self._keys):
            return np.full(len(image_ids), -1, dtype=np.int64)
        keys = np.array([_key(image_id) for image_id in image_ids], dtype=np.uint64)
        rows = np.searchsorted(self._keys, keys).clip(max=len(self._keys) - 1)
        found = self._image_ids.take(pa.array(rows)).to_pylist()
        for at, (image_id, known) in enumerate(zip(image_ids, found, strict=True)):
            if image_id != known:
                rows[at] = self._after(int(rows[at]), image_id)
        return rows.astype(np.int64, copy=False)

    def _after(self, row: int, image_id: str) -> int:
        """Two pictures may share the digits that are searched by, though none was ever seen."""
        key = _key(image_id)
        while row < len(self._keys) and self._keys[row] == key:
            if self._image_ids[row].as_py() == image_id:
                return row
            row += 1
        return -1


def _keys(image_ids: pa.Array) -> NDArray[np.uint64]:
    """The first digits of each digest as a number, in the order of the digests."""
    raw = np.frombuffer(_raw(image_ids), dtype=">u8").reshape(-1, DIGEST_BYTES // 8)
    return raw[:, 0].astype(np.uint64)


def _key(image_id: str) -> int:
    """As in :func:`_keys`; 0 for what is no digest, so that it is compared and not found."""
    try:
        return int(image_id[:KEY_DIGITS], 16)
    except ValueError:
        return 0


# --- On disk ----------------------------------------------------------------------------------------------


def encode_index(index: pd.DataFrame) -> bytes:
    """The index as Parquet: digests as their bytes, ``row_digest`` left out, as it is always computed."""
    columns = {name: _stored(index[name]) for name in index.columns if name != "row_digest"}
    table = pa.table(columns)
    as_dictionary = [
        name
        for name, column in columns.items()
        if name not in HEX_COLUMNS and pa.types.is_large_string(column.type)
    ]
    sink = io.BytesIO()
    pq.write_table(
        table,
        sink,
        compression="zstd",
        use_dictionary=as_dictionary,
        write_statistics=False,
        store_schema=False,
    )
    return sink.getvalue()


def decode_index(data: bytes) -> pd.DataFrame:
    """The index that :func:`encode_index` wrote, row digests computed from what the rows say.

    Raises:
        ValueError: it is no Parquet, or lacks a column.
        OSError: it is no Parquet.
    """
    table = pq.read_table(pa.BufferReader(data))
    there = (*table.column_names, *LATER_COLUMNS, "row_digest")
    absent = [name for name in INDEX_COLUMNS if name not in there]
    if absent:
        raise ValueError(f"it has no column {absent[0]}")
    columns = {name: _read(table[name], DTYPES.get(name, TEXT)) for name in table.column_names}
    columns |= {name: missing(len(table), name) for name in LATER_COLUMNS if name not in columns}
    columns["row_digest"] = row_digests(columns)
    return pd.DataFrame({name: columns[name] for name in _ordered(columns)}, copy=False)


def _stored(values: pd.Series) -> pa.Array:
    found = arrow(values)
    if values.name in HEX_COLUMNS and _are_digests(found):
        return pa.Array.from_buffers(pa.binary(DIGEST_BYTES), len(found), [None, pa.py_buffer(_raw(found))])
    return found


def _are_digests(values: pa.Array) -> bool:
    return not values.null_count and pc.all(pc.match_substring_regex(values, DIGEST), min_count=0).as_py()


def _read(column: pa.ChunkedArray, dtype: ColumnType) -> Any:
    if pa.types.is_fixed_size_binary(column.type):
        whole = column.combine_chunks()
        raw = memoryview(whole.buffers()[1])[whole.offset * DIGEST_BYTES :][: len(whole) * DIGEST_BYTES]
        column = _hex(raw)
    if isinstance(dtype, np.dtype):
        return column.to_numpy().astype(dtype, copy=False)
    return dtype.__from_arrow__(column)
