"""Predictions are stored as Parquet and shown as a table."""

import errno
import io
import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from zenml.artifact_stores import BaseArtifactStore
from zenml.artifact_stores.local_artifact_store import LocalArtifactStore

from materializers import predictions as module
from materializers.blobs import read_blob
from materializers.errors import DamagedArtifact, NoRoom
from materializers.prediction_table import prediction_schema
from materializers.predictions import (
    PredictionCounts,
    PredictionProvenance,
    Predictions,
    PredictionsMaterializer,
    PredictionsWriter,
)
from tests.materializers.examples import MODEL_DIGEST, predictions


def test_predictions_read_back_as_they_were(store: BaseArtifactStore) -> None:
    """Every row and column comes back, also those of a picture without an answer."""
    materializer = PredictionsMaterializer(f"{store.path}/predictions/1", store)
    materializer.save(predictions())
    read = materializer.load(Predictions)
    pd.testing.assert_frame_equal(read.rows, predictions().rows)
    assert read.provenance == predictions().provenance
    assert materializer.compute_content_hash(read) == materializer.compute_content_hash(predictions())


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
    assert materializer.extract_metadata(predictions()) == {
        **{"pictures": 2, "classified": 1, "abstained": 0, "bad": {"truncated": 1}, "labels": {"tops": 1}},
        **{"model_version": 3, "model_digest": MODEL_DIGEST, "verdict": "e" * 64, "code": "c" * 64},
        "taken_over": 0,
    }
    (shown,) = materializer.save_visualizations(predictions())
    assert list(pd.read_csv(io.BytesIO(Path(shown).read_bytes()))["path"]) == ["a.png", "b.png"]


def test_where_they_come_from_stands_in_the_file_and_beside_it(
    store: BaseArtifactStore, tmp_path: Path
) -> None:
    """Any reader of Parquet finds it, and any reader of JSON; on disk as in a bucket."""
    for uri in (f"{tmp_path}/answers.parquet", f"{store.path}/answers.parquet"):
        predictions().write(store, uri)
        said = read_blob(store, f"{uri}.json")
        assert PredictionProvenance.model_validate_json(said) == predictions().provenance
        metadata = pq.read_metadata(io.BytesIO(read_blob(store, uri))).metadata
        assert json.loads(metadata[b"shutterline.provenance"]) == json.loads(said)


def test_predictions_of_before_they_said_where_they_come_from_are_read(disk: LocalArtifactStore) -> None:
    """Their rows are there, and nothing is made up."""
    uri = f"{disk.path}/predictions/1"
    rows = pd.DataFrame([{"path": "a.png", "model_version": 1, "label": "tops", "abstained": False}])
    rows["error"] = None
    Path(uri).mkdir(parents=True)
    rows.to_parquet(f"{uri}/predictions.parquet", index=False)
    read = PredictionsMaterializer(uri, disk).load(Predictions)
    assert read.provenance is None
    assert list(read.rows["label"]) == ["tops"]


def test_rows_beyond_those_of_one_group_are_written_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory holds one group of rows, whatever the table has; the order stays."""
    monkeypatch.setattr(module, "ROW_GROUP", 10)
    schema = prediction_schema(("tops",))
    writer = PredictionsWriter(schema)
    for start in range(0, 32, 4):
        rows = [{"path": f"{number:02}.png", "label": "tops"} for number in range(start, start + 4)]
        writer.add(pa.Table.from_pylist(rows, schema=schema))
        assert sum(each.num_rows for each in writer._waiting) < 10
    provenance = predictions().provenance
    assert provenance is not None
    found = writer.finish(provenance)
    assert list(found.rows["path"]) == [f"{number:02}.png" for number in range(32)]
    assert pq.read_metadata(found.path).num_row_groups > 2
    assert sum(table.num_rows for table in found.tables()) == 32
    assert writer.tally.labels == {"tops": 32}


def test_the_counts_are_said_in_a_sentence() -> None:
    """What is nought is not said."""
    some = PredictionCounts(pictures=4001, classified=3998, abstained=12, bad={"empty": 1, "truncated": 2})
    assert some.sentence == (
        "4,001 pictures: 3,998 classified, 12 of them abstained; 3 bad: empty 1, truncated 2"
    )
    assert PredictionCounts(pictures=1, classified=1, abstained=0, bad={}).sentence == (
        "1 picture: 1 classified"
    )


def test_a_disk_that_is_full_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where temporary files lie, with what to do."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    provenance = predictions().provenance
    assert provenance is not None
    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    writer = PredictionsWriter(prediction_schema(("tops",)))
    writer.add(pa.Table.from_pylist([{"path": "a"}], schema=prediction_schema(("tops",))))
    with pytest.raises(NoRoom, match=r"takes no more: predictions\.parquet.*TMPDIR"):
        writer.finish(provenance)
