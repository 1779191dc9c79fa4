"""Read ``labels.csv``: which picture has which label, and what is corrected or withdrawn."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from materializers.errors import UsageError
from materializers.image_dataset import INDEX_COLUMNS

LABELS_FILE = "labels.csv"
NEEDED = ("image_path", "label")
DESCRIBING = (*NEEDED, "group", "captured_at")
"""What a row may say of a picture, besides columns of the delivery's own."""
KNOWN = (*DESCRIBING, "image_id", "withdrawn")
MOST_COLUMNS = 1_000
"""Of a delivery: each is kept beside every picture and checked by itself."""
MOST_CHARACTERS = 131_072
"""Of a value; more is what follows a quotation mark that was never closed."""
IMAGE_ID = re.compile("[0-9a-f]{64}")
SEPARATORS = {";": ("semicolons", ";"), "\t": ("tabs", "\\t")}
"""What spreadsheet programs write in the place of commas: what it is called, and how Python writes it."""
PICTURE_NAME = re.compile(r"\.(jpe?g|png|webp)$", re.IGNORECASE)
FIXED = "labels.csv > fixed.csv, and put fixed.csv in its place"
TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False, "": False}


@dataclass(frozen=True, slots=True)
class Row:
    """One row; a value that is not given is None, and nothing but the ends of a value is trimmed.

    Args:
        image_path: the file that the row brings; of a withdrawn picture, the path by which it came.
        label: its class.
        group: what it belongs to.
        captured_at: when it was taken.
        extra: the delivery's own columns.
        image_id: the stored picture, one of an earlier delivery, that the row corrects or withdraws.
        withdrawn: whether the picture is taken out.
    """

    image_path: str | None
    label: str | None
    group: str | None = None
    captured_at: str | None = None
    extra: dict[str, str | None] = field(default_factory=dict)
    image_id: str | None = None
    withdrawn: bool = False

    def missing(self) -> list[str]:
        """The columns without a value."""
        return [name for name in DESCRIBING if getattr(self, name) is None] + [
            name for name, value in self.extra.items() if value is None
        ]

    def given(self) -> dict[str, str]:
        """The columns with a value, ``image_path`` left out: what a correction changes."""
        said = {"label": self.label, "group": self.group, "captured_at": self.captured_at, **self.extra}
        return {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True)
class Labels:
    """All rows, in their order, and the names of the columns that say something of a picture."""

    columns: tuple[str, ...]
    rows: list[Row]

    @cached_property
    def pictures(self) -> list[Row]:
        """The rows that bring a picture, and those that name none at all."""
        return [row for row in self.rows if row.image_id is None and not row.withdrawn]

    @cached_property
    def corrections(self) -> list[Row]:
        """The rows that say something else of a stored picture, which ``image_id`` names.

        A column without a value (:meth:`Row.given` leaves it out) stays what it was.
        """
        return [row for row in self.rows if row.image_id is not None and not row.withdrawn]

    @cached_property
    def withdrawals(self) -> list[Row]:
        """The rows that take out a stored picture.

        Each names it by ``image_id``, or by ``image_path``: then it is the picture whose ``source`` is
        ``<source name>/<image_path>``.
        """
        return [row for row in self.rows if row.withdrawn]

    def relabelled(self) -> set[str]:
        """The ``image_id`` of each stored picture that a correction gives a label."""
        return {str(row.image_id) for row in self.corrections if row.label is not None}

    def missing_values(self) -> dict[str, int]:
        """Rows without a value, per column, among those that bring a picture."""
        counts = dict.fromkeys(self.columns, 0)
        for row in self.pictures:
            for name in row.missing():
                if name in counts:
                    counts[name] += 1
        return counts


def read_labels(data: bytes) -> Labels:
    """Parse the bytes of ``labels.csv``: UTF-8 with or without a byte order mark, comma separated.

    Every column is kept, as text. One that has the name of a column that the index fills itself (such as
    ``width`` or ``source``) is kept as ``delivered_<name>``.

    Raises:
        UsageError: the encoding is another, the text is no CSV, a column is missing or named twice, there
            is no row, or a row corrects or withdraws in a way that cannot be understood.
    """
    _check_encoding(data)
    # A stream, for the text of a million rows beside their values would take twice the memory.
    lines = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="")
    reader = csv.reader(lines, strict=True)
    csv.field_size_limit(MOST_CHARACTERS)
    try:
        columns = _columns(next(reader, []))
        parse = _RowParser(columns)
        rows = [parse.row(line, reader.line_num) for line in reader if line]
    except csv.Error as error:
        raise UsageError(
            f"labels.csv is no CSV: line {reader.line_num:,}: {error}. A value has {MOST_CHARACTERS:,} "
            "characters at most, and each quotation mark is closed by another: write it anew."
        ) from error
    if not rows:
        raise UsageError(
            "labels.csv is empty: it has 0 rows below its header; 1 is needed at least. Write one a picture."
        )
    return Labels(tuple(name for name in columns if name not in ("image_id", "withdrawn")), rows)


def _check_encoding(data: bytes) -> None:
    if encoding := _utf_16(data):
        raise UsageError(
            f"labels.csv is {encoding}, not UTF-8: it begins with bytes {data[:4].hex(' ')}. Convert it: "
            f"iconv -f {encoding} -t UTF-8 {FIXED}."
        )
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"labels.csv is not UTF-8: byte {error.start:,} is 0x{data[error.start]:02x}. Convert it, "
            f"for example: iconv -f WINDOWS-1252 -t UTF-8 {FIXED}."
        ) from error


def _utf_16(data: bytes) -> str | None:
    """The encoding, as iconv names it, of a text whose characters take two bytes; None of any other.

    Without a byte order mark it is known by the zero beside its first letter.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "UTF-16"
    first, second = data[:1] == b"\0", data[1:2] == b"\0"
    if first == second:
        return None
    return "UTF-16BE" if first else "UTF-16LE"


def _columns(header: list[str]) -> tuple[str, ...]:
    check_column_count("labels.csv", len(header))
    names = [name.strip() for name in header]
    if not any(names):
        raise UsageError(
            f"labels.csv is empty: it has no header. Its first line has to name {','.join(NEEDED)}."
        )
    stands_in = {"image_path": {"image_id"}, "label": {"image_id", "withdrawn"}}
    absent = [name for name in NEEDED if name not in names and not stands_in[name] & set(names)]
    if absent:
        raise UsageError(
            f"labels.csv has no column {' and no column '.join(absent)}: {_instead_of_columns(names)}"
        )
    columns = own_columns(names, known=KNOWN)
    if twice := names_to_change(columns):
        raise UsageError(
            f"labels.csv has columns that share a name or have none: {', '.join(twice)}. "
            "Each needs one of its own: rename or remove them."
        )
    return columns


def _instead_of_columns(names: list[str]) -> str:
    """What a first line without the needed columns is, and what mends it."""
    line = ",".join(names)
    for separator, (called, written) in SEPARATORS.items():
        if len(line.split(separator)) > len(names):
            return (
                f"its values are separated by {called}, and commas are needed. Save it with commas, or type "
                "python -c 'import csv, sys; csv.writer(sys.stdout).writerows(csv.reader(sys.stdin, "
                f'delimiter="{written}"))\' < {FIXED}.'
            )
    if any(PICTURE_NAME.search(name) for name in names):
        return (
            f"its first line is a row ({line}) and not the names of its columns. Put a line above it that "
            f"names them, such as {','.join(NEEDED)}"
        )
    return (
        f"its columns are {', '.join(names)}; {' and '.join(NEEDED)} are needed, separated by commas. Rename "
        "them."
    )


def check_column_count(where: str, count: int) -> None:
    """Refuse a table that is too wide, before anything looks at its columns one by one.

    Raises:
        UsageError: there are more than :data:`MOST_COLUMNS`.
    """
    if count > MOST_COLUMNS:
        raise UsageError(
            f"{where} has {count:,} columns; the limit is {MOST_COLUMNS:,}. Leave out those that say "
            "nothing of a picture."
        )


def names_to_change(names: Iterable[str]) -> list[str]:
    """The names of columns that are empty or shared, each once, for messages."""
    counts = Counter(names)
    changed = {name.strip() for name, count in counts.items() if count > 1 or not name.strip()}
    return sorted(name or "(no name)" for name in changed)


def own_columns(names: list[str], known: tuple[str, ...]) -> tuple[str, ...]:
    """The names under which a delivery's columns are kept, in their order.

    Args:
        names: as they were delivered.
        known: those that are understood; any other that the index has itself becomes ``delivered_<name>``.
    """
    reserved = (set(INDEX_COLUMNS) | {"withdrawn"}) - set(known)
    return tuple(f"delivered_{name}" if name in reserved else name for name in names)


class _RowParser:
    """Rows from the values of lines; equal labels, groups and times of a file share one text."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        self.columns = columns
        self.own = [(at, name) for at, name in enumerate(columns) if name not in KNOWN]
        self.places = {name: at for at, name in enumerate(columns) if name in KNOWN}
        self.texts: dict[str, str] = {}

    def row(self, line: list[str], number: int) -> Row:
        if len(line) != len(self.columns):
            raise UsageError(
                f"labels.csv line {number:,} has {len(line)} values; the header names {len(self.columns)} "
                "columns. Quote values that hold a comma."
            )
        image_path, image_id = self._value(line, "image_path"), self._value(line, "image_id")
        row = Row(
            image_path=image_path,
            label=self._shared(self._value(line, "label")),
            group=self._shared(self._value(line, "group")),
            captured_at=self._shared(self._value(line, "captured_at")),
            extra={name: self._shared(line[at].strip() or None) for at, name in self.own},
            image_id=None if image_id is None else _image_id(image_id, number),
            withdrawn=_withdrawn(self._value(line, "withdrawn") or "", number),
        )
        if row.image_id is not None or row.withdrawn:
            _check_change(row, number)
        return row

    def _value(self, line: list[str], name: str) -> str | None:
        at = self.places.get(name)
        return None if at is None else line[at].strip() or None

    def _shared(self, value: str | None) -> str | None:
        return None if value is None else self.texts.setdefault(value, value)


def _image_id(value: str, number: int) -> str:
    if not IMAGE_ID.fullmatch(value.lower()):
        raise UsageError(
            f"labels.csv line {number:,}: image_id {value!r} is no digest: 64 of 0-9 and a-f are needed, it "
            f"has {len(value)} characters. Copy it whole from the dataset's index."
        )
    return value.lower()


def _withdrawn(value: str, number: int) -> bool:
    if value.lower() not in TRUTHS:
        raise UsageError(
            f"labels.csv line {number:,}: withdrawn is {value!r}; true, yes or 1 withdraws the picture, and "
            "false, no, 0 or nothing does not. Correct it."
        )
    return TRUTHS[value.lower()]


def _check_change(row: Row, number: int) -> None:
    """Refuse a correction or a withdrawal that leaves open which picture is meant, or what."""
    if row.image_id is not None and row.image_path is not None:
        raise UsageError(
            f"labels.csv line {number:,} names a file (image_path) and a stored picture (image_id). Leave "
            "image_path empty to correct or withdraw the stored one, or image_id to deliver the file."
        )
    if row.image_id is None and row.image_path is None:
        raise UsageError(
            f"labels.csv line {number:,} withdraws a picture and names none. Give its image_id, or the "
            "image_path by which it came."
        )
    if not row.withdrawn and not row.given():
        raise UsageError(
            f"labels.csv line {number:,} corrects nothing: it has an image_id, and neither a label nor any "
            "other value. Give what is right, or withdrawn = true."
        )
