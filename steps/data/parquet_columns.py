"""The columns of a Parquet delivery: which one holds the pictures, and what the others say as text."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from materializers.errors import UsageError
from steps.data.labels import DESCRIBING, check_column_count, names_to_change, own_columns

IMAGE, LABEL = "image", "label"
BYTES, PATH = "bytes", "path"
"""Fields of a picture as Hugging Face's ``datasets`` writes it."""
HUGGING_FACE = b"huggingface"
UNSAYABLE = (ArithmeticError, LookupError, TypeError, ValueError, pa.ArrowException)
"""What comes of values that Parquet can hold and Python cannot: times after the year 9999 or in no known
zone, text that is not UTF-8."""
LONGEST_REASON = 200
MOST_LEVELS = 100
"""Of lists and structs within each other; Python reads some hundred."""
INDEX = re.compile(r"__index_level_\d+__")
"""Row numbers that pandas writes beside the columns."""


class Columns:
    """The columns of one file.

    Args:
        where: the delivery and the file, for messages.
        schema: of the file.

    Raises:
        UsageError: a column is missing, has a type that cannot be used, or shares its name.
    """

    def __init__(self, where: str, schema: pa.Schema) -> None:
        self.where, self.schema = where, schema
        check_column_count(where, len(schema))
        names = [name for name in schema.names if not INDEX.fullmatch(name)]
        self._check_names(names)
        image = schema.field(IMAGE).type
        self.pictures = f"{IMAGE}.{BYTES}" if pa.types.is_struct(image) else IMAGE
        """The column of the pictures' bytes, as Parquet names it."""
        self._check_types(image)
        beside = [name for name in names if name != IMAGE]
        self.kept = dict(zip(beside, own_columns([name.strip() for name in beside], DESCRIBING), strict=True))
        if twice := names_to_change(self.kept.values()):
            raise self._share(twice)
        path_given = pa.types.is_struct(image) and image.get_field_index(PATH) >= 0
        self.path = f"{IMAGE}.{PATH}" if path_given and "image_path" not in self.kept.values() else None
        self.described_by = [*self.kept, *([self.path] if self.path else [])]
        """The columns to read for :meth:`texts`, as Parquet names them."""
        self.classes = self._class_names()

    def texts(self, batch: pa.RecordBatch) -> dict[str, list[str | None]]:
        """What some rows say, by the names under which columns are kept; empty values are None.

        Args:
            batch: with the columns ``described_by``.

        Raises:
            UsageError: a label is a number that no class has, or a value cannot be kept as text.
        """
        found = {kept: self._said(batch, name, _text) for name, kept in self.kept.items()}
        if self.classes:
            found[LABEL] = self._said(batch, LABEL, self._class)
        if self.path:
            found["image_path"] = self._said(batch, IMAGE, lambda image: _text(image and image[PATH]))
        return found

    def _said(
        self, batch: pa.RecordBatch, name: str, text_of: Callable[[Any], str | None]
    ) -> list[str | None]:
        """The values of a column as texts."""
        try:
            return [text_of(value) for value in batch[name].to_pylist()]
        except UNSAYABLE as error:
            raise self._unsayable(name, error) from error

    def _check_names(self, names: Sequence[str]) -> None:
        absent = [name for name in (IMAGE, LABEL) if name not in names]
        if absent:
            raise UsageError(
                f"{self.where} has no column {' and no column '.join(absent)}: its columns are "
                f"{', '.join(names)}; {IMAGE} (encoded pictures) and {LABEL} are needed. Rename them."
            )
        if twice := names_to_change(names):
            raise self._share(twice)

    def _check_types(self, image: pa.DataType) -> None:
        for column in self.schema:
            if (levels := _levels(column.type)) > MOST_LEVELS:
                raise UsageError(
                    f"{self.where}: the column {column.name} has {levels:,} levels of lists and structs "
                    f"within each other; the limit is {MOST_LEVELS}. Write it flatter, or leave it out."
                )
        data = image.field(BYTES).type if _has_field(image, BYTES) else image
        if not (pa.types.is_binary(data) or pa.types.is_large_binary(data)):
            raise self._wrong(
                IMAGE, image, f"bytes, or a struct of {BYTES} and {PATH}, of encoded pictures are needed"
            )
        label = self.schema.field(LABEL).type
        plain = label.value_type if pa.types.is_dictionary(label) else label
        if not (pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_integer(plain)):
            raise self._wrong(LABEL, label, "text, or whole numbers, are needed")
        for column in self.schema:
            if column.name != IMAGE and _holds_bytes(column.type):
                raise self._wrong(column.name, column.type, "bytes cannot be kept as text; remove it")

    def _unsayable(self, name: str, error: Exception) -> UsageError:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST_REASON]
        return UsageError(
            f"{self.where}: the column {name} holds a value that cannot be kept as text ({reason}). "
            "Write it anew: text in UTF-8, and times of the years 1 to 9999, in a time zone that has a name."
        )

    def _wrong(self, name: str, kind: pa.DataType, needed: str) -> UsageError:
        return UsageError(f"{self.where}: the column {name} has the type {kind}: {needed}. Write it anew.")

    def _share(self, names: Sequence[str]) -> UsageError:
        return UsageError(
            f"{self.where} has columns that share a name or have none: {', '.join(names)}. Each needs one of "
            "its own: rename or remove them."
        )

    def _class_names(self) -> list[str]:
        """The names behind labels that are numbers, where ``datasets`` wrote them beside the schema."""
        if not pa.types.is_integer(self.schema.field(LABEL).type):
            return []
        try:
            written = json.loads((self.schema.metadata or {})[HUGGING_FACE])
            names = written["info"]["features"][LABEL]["names"]
            found = [str(name) for name in names] if isinstance(names, list) else []
        except RecursionError as error:
            raise UsageError(
                f"{self.where}: what {HUGGING_FACE.decode()} wrote beside the schema of the column {LABEL} "
                "is nested too deeply to be read. Write it anew."
            ) from error
        except (KeyError, ValueError, TypeError):
            return []
        try:
            "".join(found).encode()
        except UnicodeEncodeError as error:
            raise self._unsayable(LABEL, error) from error
        return found

    def _class(self, number: int | None) -> str | None:
        if number is None or number == -1:  # -1: how `datasets` writes that there is no label
            return None
        if not 0 <= number < len(self.classes):
            raise UsageError(
                f"{self.where}: a label is {number}; the file names {len(self.classes)} classes, "
                f"counted from 0: {', '.join(self.classes)}. Correct it."
            )
        return self.classes[number]


def _has_field(kind: pa.DataType, name: str) -> bool:
    return bool(pa.types.is_struct(kind) and kind.get_field_index(name) >= 0)


def _levels(kind: pa.DataType) -> int:
    """How many types are within each other."""
    levels, inner = 0, [kind]
    while inner:
        levels += 1
        inner = [each.field(at).type for each in inner for at in range(each.num_fields)]
    return levels


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _holds_bytes(kind.value_type)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return True
    return any(_holds_bytes(kind.field(at).type) for at in range(kind.num_fields))


def _text(value: object) -> str | None:
    """A value as ``labels.csv`` would hold it: times as ISO 8601, lists and structs as JSON."""
    if value is None or value != value:  # noqa: PLR0124 - NaN: how pandas writes that there is no value
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=_text)
    return str(value).strip() or None
