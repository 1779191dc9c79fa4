"""The answers of a batch of pictures, as a table."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd
from zenml.enums import ArtifactType, VisualizationType
from zenml.materializers.base_materializer import BaseMaterializer

from materializers.blobs import write_blob
from materializers.errors import DamagedArtifact

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType

SHOWN_ROWS = 100


@dataclass(frozen=True)
class Predictions:
    """One row a picture.

    Args:
        rows: columns ``path``, ``model_version``, ``label``, ``probability``, ``abstained``, ``error`` (None
            where the picture could be read) and ``probability_<class>`` for each class.
    """

    rows: pd.DataFrame = field(repr=False)

    def to_parquet(self) -> bytes:
        """The table as one Parquet file."""
        buffer = io.BytesIO()
        self.rows.to_parquet(buffer, index=False)
        return buffer.getvalue()


class PredictionsMaterializer(BaseMaterializer):
    """Stores :class:`Predictions` as one Parquet file."""

    ASSOCIATED_TYPES = (Predictions,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.DATA

    def save(self, predictions: Predictions) -> None:
        """Write the table."""
        write_blob(self.artifact_store, f"{self.uri}/predictions.parquet", predictions.to_parquet())

    def load(self, data_type: type[Any]) -> Predictions:
        """Read the table back.

        Raises:
            DamagedArtifact: the file is missing or is no Parquet file.
        """
        try:
            with self.artifact_store.open(f"{self.uri}/predictions.parquet", "rb") as file:
                return Predictions(rows=pd.read_parquet(io.BytesIO(file.read())))
        except (OSError, ValueError) as error:
            raise DamagedArtifact(
                f"The predictions at {self.uri} cannot be read ({error}): python run.py --infer"
            ) from error

    def save_visualizations(self, predictions: Predictions) -> dict[str, VisualizationType]:
        """Write the first rows as a table for the dashboard."""
        uri = f"{self.uri}/first_rows.csv"
        write_blob(self.artifact_store, uri, predictions.rows.head(SHOWN_ROWS).to_csv(index=False).encode())
        return {uri: VisualizationType.CSV}

    def extract_metadata(self, predictions: Predictions) -> dict[str, MetadataType]:
        """How many pictures got which answer."""
        rows = predictions.rows
        values: dict[str, MetadataType] = {"pictures": len(rows)}
        if len(rows):
            labels = rows["label"].dropna().value_counts()
            values["labels"] = {str(label): int(count) for label, count in sorted(labels.items())}
            values["errors"] = int(rows["error"].notna().sum())
        return values

    def compute_content_hash(self, predictions: Predictions) -> str | None:
        """The sha256 of the table as CSV."""
        return hashlib.sha256(predictions.rows.to_csv(index=False).encode()).hexdigest()
