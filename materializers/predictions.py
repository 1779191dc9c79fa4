"""The answers of a batch of pictures, as a table that is read piece by piece."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError
from zenml.enums import ArtifactType, VisualizationType
from zenml.materializers.base_materializer import BaseMaterializer

from materializers.blobs import (
    PIECE,
    download_blob,
    is_on_disk,
    room_for,
    upload_file,
    write_blob,
    write_file,
)
from materializers.errors import DamagedArtifact
from materializers.prediction_table import Tally
from materializers.report import Record, counted

if TYPE_CHECKING:
    import pandas as pd
    from zenml.artifact_stores import BaseArtifactStore
    from zenml.metadata.metadata_types import MetadataType

SHOWN_ROWS = 100
ROW_GROUP = 65_536
"""Rows that are written together, and in memory at a time."""
PROVENANCE = b"shutterline.provenance"
"""The key of the Parquet file's metadata under which it says where it comes from."""
BESIDE = ".json"
"""What the name of a table has behind it is the name of the same in JSON."""
FILE = "predictions.parquet"


class PredictionCounts(Record):
    """What the pictures came to."""

    pictures: int
    classified: int
    abstained: int
    """Of those that were classified."""
    bad: dict[str, int]
    """Those that were not, by reason."""

    @classmethod
    def of(cls, tally: Tally) -> Self:
        """What was counted."""
        return cls(
            pictures=tally.pictures,
            classified=tally.labels.total(),
            abstained=tally.abstained,
            bad=dict(sorted(tally.bad.items())),
        )

    @property
    def sentence(self) -> str:
        """The same in words."""
        said = f"{counted(self.pictures, 'picture')}: {self.classified:,} classified"
        said += f", {self.abstained:,} of them abstained" if self.abstained else ""
        if self.bad:
            by_reason = ", ".join(f"{reason} {count:,}" for reason, count in self.bad.items())
            said += f"; {sum(self.bad.values()):,} bad: {by_reason}"
        return said


class PredictionProvenance(Record):
    """Where predictions come from."""

    format_version: Literal[1] = 1
    model_name: str
    environment: str
    model_version: int
    model_digest: str
    verdict: str
    """The digest of the verdict under which the version was live."""
    code: str
    """The sha256 (hex) of the project's code and locks."""
    source: str
    """As the caller named it."""
    began: datetime
    ended: datetime
    """UTC."""
    counts: PredictionCounts
    taken_over: int
    """Pictures whose answers a run before had stored, for the same bytes, model, code and settings."""


@dataclass(frozen=True)
class Predictions:
    """One row a picture, as :mod:`materializers.prediction_table` has it, in a Parquet file of this machine.

    Args:
        path: the file.
        folder: in which it lies, when it goes with the predictions.
    """

    path: Path
    folder: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False, compare=False)

    @property
    def rows(self) -> pd.DataFrame:
        """All rows, in memory."""
        frame: pd.DataFrame = pq.read_table(self.path).to_pandas()
        return frame

    def tables(self) -> Iterator[pa.Table]:
        """All rows, some at a time."""
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(ROW_GROUP):
                yield pa.Table.from_batches([batch])

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns, without what stands beside them."""
        return pq.read_schema(self.path).remove_metadata()

    @cached_property
    def provenance(self) -> PredictionProvenance | None:
        """Where they come from; None of predictions of before that was recorded, or of another program.

        Raises:
            DamagedArtifact: it cannot be read.
        """
        said = (pq.read_metadata(self.path).metadata or {}).get(PROVENANCE)
        try:
            return None if said is None else PredictionProvenance.model_validate_json(said)
        except ValidationError as error:
            raise DamagedArtifact(
                f"Where the predictions {self.path} come from cannot be read ({error}): python run.py --infer"
            ) from error

    def write(self, store: BaseArtifactStore, uri: str) -> None:
        """Copy the table to ``uri``, on disk or in the store, and where it comes from beside it.

        Raises:
            OSError: it cannot be written.
        """
        if is_on_disk(uri):
            write_file(Path(uri), _pieces(self.path))
        else:
            upload_file(store, self.path, uri)
        if self.provenance is not None:
            said = self.provenance.model_dump_json(indent=2)
            write_blob(store, f"{uri}{BESIDE}", f"{said}\n".encode())


class PredictionsWriter:
    """Writes a table of predictions to a temporary file, a piece after another.

    Args:
        schema: its columns.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self.tally = Tally()
        self._schema = schema
        self._folder = tempfile.TemporaryDirectory(prefix="shutterline-predictions-")
        self._path = Path(self._folder.name) / FILE
        self._writer = pq.ParquetWriter(self._path, schema)
        self._waiting: list[pa.Table] = []

    def add(self, table: pa.Table) -> None:
        """Write some more rows.

        Raises:
            NoRoom: the disk is full.
        """
        self.tally.add(table)
        self._waiting.append(table)
        if sum(each.num_rows for each in self._waiting) >= ROW_GROUP:
            self._flush()

    def finish(self, provenance: PredictionProvenance) -> Predictions:
        """Say where all comes from, and close the file.

        Raises:
            NoRoom: the disk is full.
        """
        self._flush()
        with room_for(FILE):
            self._writer.add_key_value_metadata({PROVENANCE: provenance.model_dump_json().encode()})
            self._writer.close()
        return Predictions(self._path, self._folder)

    def _flush(self) -> None:
        if self._waiting:
            with room_for(FILE):
                self._writer.write_table(pa.concat_tables(self._waiting), row_group_size=ROW_GROUP)
            self._waiting.clear()


class PredictionsMaterializer(BaseMaterializer):
    """Stores :class:`Predictions` as one Parquet file, and beside it where they come from."""

    ASSOCIATED_TYPES = (Predictions,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.DATA

    def save(self, predictions: Predictions) -> None:
        """Copy the file."""
        predictions.write(self.artifact_store, f"{self.uri}/{FILE}")

    def load(self, data_type: type[Any]) -> Predictions:
        """Open the table, which is copied here where it lies in a bucket; the rows are not read.

        Raises:
            DamagedArtifact: the file is missing or is no Parquet file.
        """
        uri = f"{self.uri}/{FILE}"
        try:
            if is_on_disk(uri):
                found = Predictions(Path(uri))
            else:
                folder = tempfile.TemporaryDirectory(prefix="shutterline-predictions-")
                found = Predictions(Path(folder.name) / FILE, folder)
                with room_for(FILE):
                    download_blob(self.artifact_store, uri, found.path)
            pq.read_metadata(found.path)
        except (OSError, pa.ArrowException) as error:
            raise DamagedArtifact(
                f"The predictions at {self.uri} cannot be read ({error}): python run.py --infer"
            ) from error
        return found

    def save_visualizations(self, predictions: Predictions) -> dict[str, VisualizationType]:
        """Write the first rows as a table for the dashboard."""
        uri = f"{self.uri}/first_rows.csv"
        first = next(predictions.tables(), predictions.schema.empty_table())
        shown = first.slice(0, SHOWN_ROWS).to_pandas().to_csv(index=False)
        write_blob(self.artifact_store, uri, shown.encode())
        return {uri: VisualizationType.CSV}

    def extract_metadata(self, predictions: Predictions) -> dict[str, MetadataType]:
        """Which model answered, and how many pictures got which answer."""
        tally = Tally()
        for table in predictions.tables():
            tally.add(table)
        counts = PredictionCounts.of(tally)
        values: dict[str, MetadataType] = {
            **counts.model_dump(),
            "labels": {label: count for label, count in sorted(tally.labels.items())},
        }
        if (provenance := predictions.provenance) is not None:
            values |= {
                "model_version": provenance.model_version,
                "model_digest": provenance.model_digest,
                "verdict": provenance.verdict,
                "code": provenance.code,
                "taken_over": provenance.taken_over,
            }
        return values

    def compute_content_hash(self, predictions: Predictions) -> str | None:
        """The sha256 of the file."""
        with predictions.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece
