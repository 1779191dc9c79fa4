"""What a model answered on pictures that it did not learn from: what later answers are compared with.

Validation and test rows only: on its own training rows a model is surer than it will ever be again. The file
lies beside the served directory and outside every digest, so that erasing a picture can take its row out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from materializers.blobs import read_blob
from materializers.errors import DamagedArtifact

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore

REFERENCE_FILE = "drift_reference.arrow"
FORMAT_VERSION = 1
MEASURED = ("brightness", "contrast", "saturation", "sharpness", "width", "height", "byte_count")
"""Columns of a dataset's index that are kept; a value that nobody computed is NaN."""
ROW_COLUMNS = ("image_id", "split", "label", "embedded", *MEASURED)


@dataclass(frozen=True)
class DriftReference:
    """Answers of a model on its validation and test pictures.

    Args:
        rows: n rows, one a picture, sorted by ``image_id``: ``image_id``, ``split`` (``validation`` or
            ``test``), ``label`` (the true one), ``embedded`` (bool), and ``MEASURED`` as float64.
        scores: ``(n, k)`` float32, the probabilities as served, a column a class.
        embeddings: ``(m, d)`` float32, of the m rows that are ``embedded``, in their order.
        classes: the k names.
        model: digest of the serving directory that answered.
    """

    rows: pd.DataFrame = field(repr=False)
    scores: NDArray[np.float32] = field(repr=False)
    embeddings: NDArray[np.float32] = field(repr=False)
    classes: tuple[str, ...]
    model: str

    def __post_init__(self) -> None:
        """Refuse parts that do not fit together.

        Raises:
            ValueError: they have other lengths, or lack a column.
        """
        n, m = len(self.rows), int(self.rows["embedded"].sum())
        if self.scores.shape != (n, len(self.classes)) or len(self.embeddings) != m:
            raise ValueError(
                f"{n} rows, {m} of them embedded, and {len(self.classes)} classes do not fit to scores "
                f"{self.scores.shape} and embeddings {self.embeddings.shape}."
            )
        object.__setattr__(self, "rows", self.rows[list(ROW_COLUMNS)].reset_index(drop=True))

    def __len__(self) -> int:
        """The number of pictures."""
        return len(self.rows)

    @property
    def statistics(self) -> pd.DataFrame:
        """What the n pictures look like: ``MEASURED``, and ``aspect``, width over height; float64."""
        measured = self.rows[list(MEASURED)]
        return measured.assign(aspect=measured["width"] / measured["height"])

    def row_digests(self) -> tuple[str, ...]:
        """The sha256 (hex) of each row with its scores and its embedding, in the order of ``rows``."""
        places = iter(range(len(self.embeddings)))
        return tuple(
            hashlib.sha256(
                json.dumps({name: _plain(value) for name, value in row.items()}, sort_keys=True).encode()
                + scores.tobytes()
                + (self.embeddings[next(places)].tobytes() if row["embedded"] else b"")
            ).hexdigest()
            for row, scores in zip(self.rows.to_dict("records"), self.scores, strict=True)
        )

    def without(self, image_ids: Collection[str]) -> DriftReference:
        """The reference without these pictures; ids that it does not know are ignored."""
        kept = ~self.rows["image_id"].isin(list(image_ids)).to_numpy()
        embedded = self.rows["embedded"].to_numpy()
        return DriftReference(
            rows=self.rows[kept],
            scores=self.scores[kept],
            embeddings=self.embeddings[kept[embedded]],
            classes=self.classes,
            model=self.model,
        )

    def to_bytes(self) -> bytes:
        """An Arrow IPC file: the same reference, the same bytes."""
        table = pa.table(
            {
                **{name: pa.array(self.rows[name], from_pandas=True) for name in ROW_COLUMNS},
                "scores": _vectors(self.scores),
                "embedding": _vectors(self.embeddings).take(_places(self.rows["embedded"].to_numpy())),
            }
        )
        about = {"format_version": FORMAT_VERSION, "classes": self.classes, "model": self.model}
        table = table.replace_schema_metadata({"about": json.dumps(about, sort_keys=True)})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as file:
            file.write_table(table)
        data: bytes = sink.getvalue().to_pybytes()
        return data

    @classmethod
    def from_bytes(cls, data: bytes) -> DriftReference:
        """Read what :meth:`to_bytes` wrote.

        Raises:
            ValueError: it is no such file, or one of a later format.
        """
        try:
            table = pa.ipc.open_file(data).read_all()
            about = json.loads(table.schema.metadata[b"about"])
            if about["format_version"] != FORMAT_VERSION:
                raise ValueError(f"format {about['format_version']} is unknown: {FORMAT_VERSION} can be read")
            rows = table.select(ROW_COLUMNS).to_pandas()
            embeddings = _matrix(table["embedding"].combine_chunks().drop_null())
            return cls(
                rows.astype(dict.fromkeys(MEASURED, np.float64)),
                _matrix(table["scores"].combine_chunks()),
                embeddings,
                tuple(about["classes"]),
                about["model"],
            )
        except (KeyError, TypeError, pa.ArrowException) as error:
            raise ValueError(f"it is no drift reference: {error}") from error


def read_reference(store: BaseArtifactStore, uri: str) -> DriftReference:
    """The drift reference that lies at ``uri`` of a store.

    Raises:
        DamagedArtifact: it cannot be read as one.
        OSError: it is not there, or the store cannot be read.
    """
    data = read_blob(store, uri)
    try:
        return DriftReference.from_bytes(data)
    except ValueError as error:
        raise DamagedArtifact(
            f"The drift reference at {uri} is damaged ({error}). Its model serves on without it; remove the "
            "file, and train again for a model that has one: python run.py --train --source PATH"
        ) from error


def _plain(value: object) -> object:
    """A value of a row as JSON has it; what is not a number as None."""
    if isinstance(value, float):
        return None if np.isnan(value) else float(value)
    return bool(value) if isinstance(value, np.bool_) else value


def _vectors(matrix: NDArray[np.float32]) -> pa.FixedSizeListArray:
    """A matrix ``(n, d)`` as n lists of d."""
    flat = pa.array(np.ascontiguousarray(matrix, dtype=np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, matrix.shape[1])


def _places(embedded: NDArray[np.bool_]) -> pa.Array:
    """For each row the position of its embedding; null where it has none."""
    return pa.array(np.cumsum(embedded) - 1, mask=~embedded)


def _matrix(vectors: pa.FixedSizeListArray) -> NDArray[np.float32]:
    """The matrix ``(n, d)`` of n lists of d."""
    flat = vectors.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat, dtype=np.float32).reshape(len(vectors), vectors.type.list_size)
