"""Read ``labels.csv``: which picture has which label."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field

from materializers.errors import UsageError
from materializers.image_dataset import INDEX_COLUMNS

LABELS_FILE = "labels.csv"
NEEDED = ("image_path", "label")
KNOWN = (*NEEDED, "group", "captured_at")
RESERVED = frozenset(INDEX_COLUMNS) - frozenset(KNOWN)


@dataclass(frozen=True)
class Row:
    """One row; a value that is not given is None, and nothing but the ends of a value is trimmed."""

    image_path: str | None
    label: str | None
    group: str | None
    captured_at: str | None
    extra: dict[str, str | None] = field(default_factory=dict)

    def missing(self) -> list[str]:
        """The columns without a value."""
        return [name for name in KNOWN if getattr(self, name) is None] + [
            name for name, value in self.extra.items() if value is None
        ]


@dataclass(frozen=True)
class Labels:
    """All rows, in their order, and the names of the columns."""

    columns: tuple[str, ...]
    rows: list[Row]

    def missing_values(self) -> dict[str, int]:
        """Rows without a value, per column of the file."""
        counts = dict.fromkeys(self.columns, 0)
        for row in self.rows:
            for name in row.missing():
                if name in counts:
                    counts[name] += 1
        return counts


def read_labels(data: bytes) -> Labels:
    """Parse the bytes of ``labels.csv``: UTF-8 with or without a byte order mark, comma separated.

    Every column is kept, as text. One that has the name of a column that the index fills itself (such as
    ``width`` or ``source``) is kept as ``delivered_<name>``.

    Raises:
        UsageError: the encoding is another, the text is no CSV, a column is missing or named twice, or there
            is no row.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"labels.csv is not UTF-8: byte {error.start:,} is 0x{data[error.start]:02x}. Convert it, for "
            "example: iconv -f WINDOWS-1252 -t UTF-8 labels.csv"
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = _columns(next(reader, []))
        rows = [_row(columns, line, reader.line_num) for line in reader if line]
    except csv.Error as error:
        raise UsageError(
            f"labels.csv is no CSV: line {reader.line_num:,}: {error}. Write it anew."
        ) from error
    if not rows:
        raise UsageError(
            "labels.csv is empty: it has 0 rows below its header; 1 is needed at least. Write one a picture."
        )
    return Labels(columns, rows)


def _columns(header: list[str]) -> tuple[str, ...]:
    names = [name.strip() for name in header]
    if not any(names):
        raise UsageError(
            f"labels.csv is empty: it has no header. Its first line has to name {','.join(NEEDED)}."
        )
    absent = [name for name in NEEDED if name not in names]
    if absent:
        raise UsageError(
            f"labels.csv has no column {' and no column '.join(absent)}: its columns are {', '.join(names)}; "
            f"{' and '.join(NEEDED)} are needed, separated by commas. Rename them."
        )
    names = [f"delivered_{name}" if name in RESERVED else name for name in names]
    twice = sorted({name or "(no name)" for name in names if not name or names.count(name) > 1})
    if twice:
        raise UsageError(
            f"labels.csv has columns that share a name or have none: {', '.join(twice)}. "
            "Each needs one of its own: rename or remove them."
        )
    return tuple(names)


def _row(columns: tuple[str, ...], line: list[str], number: int) -> Row:
    if len(line) != len(columns):
        raise UsageError(
            f"labels.csv line {number:,} has {len(line)} values; the header names {len(columns)} columns. "
            "Quote values that hold a comma."
        )
    values = {name: value.strip() or None for name, value in zip(columns, line, strict=True)}
    known = {name: values.pop(name, None) for name in KNOWN}
    return Row(**known, extra=values)
