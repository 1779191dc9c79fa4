"""The columns of predictions, a row a picture, and what they come to; light to import, for workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

PROBABILITY = "probability_"
"""Before the name of a class: the column of its probability."""
COLUMNS = (
    pa.field("path", pa.string()),
    pa.field("input_digest", pa.string()),
    pa.field("model_version", pa.int64()),
    pa.field("label", pa.string()),
    pa.field("probability", pa.float64()),
    pa.field("abstained", pa.bool_()),
    pa.field("error", pa.string()),
)
"""Of a picture without an answer, ``label``, ``probability`` and ``abstained`` are null, and ``error`` begins
with a reason, a colon after it where there is more to say; ``input_digest`` is the blake3 (hex) of the bytes
that were classified, as in captures, null where there were none."""


def prediction_schema(classes: Sequence[str]) -> pa.Schema:
    """The columns of a model's predictions, the probability of each class last."""
    return pa.schema([*COLUMNS, *(pa.field(f"{PROBABILITY}{name}", pa.float64()) for name in classes)])


@dataclass
class Tally:
    """What predictions come to, counted a table after another."""

    pictures: int = 0
    abstained: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    """Pictures without an answer, by reason."""
    labels: Counter[str] = field(default_factory=Counter)

    def add(self, table: pa.Table) -> None:
        """Count the rows of a table that has :data:`COLUMNS`."""
        self.pictures += table.num_rows
        self.abstained += pc.sum(table["abstained"]).as_py() or 0
        self.labels.update(_counts(table["label"]))
        for error, count in _counts(table["error"]).items():
            self.bad[error.partition(":")[0]] += count


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    """How often each value is there; a null is none."""
    counted: Iterable[dict[str, int | str | None]] = pc.value_counts(column.drop_null()).to_pylist()
    return {str(each["values"]): int(each["counts"] or 0) for each in counted}
