"""Predictions are stored as Parquet and shown as a table."""

import io
from pathlib import Path

import pandas as pd
import pytest
from zenml.artifact_stores import BaseArtifactStore
from zenml.artifact_stores.local_artifact_store import LocalArtifactStore

from materializers.errors import DamagedArtifact
from materializers.predictions import Predictions, PredictionsMaterializer
from tests.materializers.examples import predictions


def test_predictions_read_back_as_they_were(store: BaseArtifactStore) -> None:
    """Every row and column comes back, also those of a picture without an answer."""
    materializer = PredictionsMaterializer(f"{store.path}/predictions/1", store)
    materializer.save(predictions())
    pd.testing.assert_frame_equal(materializer.load(Predictions).rows, predictions().rows)


def test_damaged_predictions_are_named(disk: LocalArtifactStore) -> None:
    """A file that is no Parquet is refused with its address and the command that makes it anew."""
    materializer = PredictionsMaterializer(f"{disk.path}/predictions/1", disk)
    materializer.save(predictions())
    (Path(materializer.uri) / "predictions.parquet").write_bytes(b"cut short")
    with pytest.raises(DamagedArtifact, match="--infer"):
        materializer.load(Predictions)


def test_the_dashboard_counts_labels_and_errors(disk: LocalArtifactStore) -> None:
    """The metadata says how many pictures got which label, and how many none; the table can be looked at."""
    materializer = PredictionsMaterializer(f"{disk.path}/predictions/1", disk)
    assert materializer.extract_metadata(predictions()) == {"pictures": 2, "labels": {"tops": 1}, "errors": 1}
    (shown,) = materializer.save_visualizations(predictions())
    assert list(pd.read_csv(io.BytesIO(Path(shown).read_bytes()))["path"]) == ["a.png", "b.png"]
