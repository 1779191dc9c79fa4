"""A model is stored file by file and its record last, so that one without a record is none."""

import json
from pathlib import Path

import pytest
from zenml.artifact_stores import BaseArtifactStore
from zenml.artifact_stores.local_artifact_store import LocalArtifactStore
from zenml.enums import VisualizationType

from materializers.classifier import (
    SERVING_FILES,
    Classifier,
    ClassifierMaterializer,
    TrainingRecord,
    fetch_model_directory,
)
from materializers.errors import DamagedArtifact, Refused, ServiceUnreachable
from tests.materializers.examples import CLASSES, MODEL_DIGEST, classifier

FILES = (
    "weights.safetensors",
    "curves.png",
    "reliability.png",
    "risk_coverage.png",
    "drift_reference.arrow",
    "serving/model.onnx",
    "serving/metadata.json",
    "record.json",
)
FIRST_FORMAT = {
    "format_version": 1,
    "architecture": "small_cnn",
    "classes": ["bags", "tops"],
    "threads": 2,
    "seed": 0,
    "data": "d4" * 32,
    "splits": "ab" * 32,
    "configuration": "cd" * 32,
    "code": "e5" * 32,
    "model_digest": MODEL_DIGEST,
    "best_epoch": 1,
    "epochs": [
        {
            "epoch": 1,
            "learning_rate": 0.001,
            "loss": 0.5,
            "accuracy": 0.8,
            "val_loss": 0.4,
            "val_accuracy": 0.9,
            "precision": 0.9,
            "recall": 0.9,
            "f1_score": 0.9,
        }
    ],
}
"""A record as it was stored before there was a calibration."""


def test_a_model_reads_back_byte_by_byte(store: BaseArtifactStore, tmp_path: Path) -> None:
    """The directory that is served has the bytes that training exported, and knows where it is stored."""
    before = classifier(tmp_path / "trained")
    materializer = ClassifierMaterializer(f"{store.path}/model/1", store)
    materializer.save(before)
    after = materializer.load(Classifier)
    assert after.record == before.record
    assert after.directory != before.directory
    for name in FILES[:-1]:
        assert (after.directory / name).read_bytes() == (before.directory / name).read_bytes()
    assert after.model_uri == f"{store.path}/model/1/serving"
    with store.open(f"{after.model_uri}/model.onnx", "rb") as file:
        assert file.read() == b"network"


@pytest.mark.parametrize("name", FILES)
def test_a_model_without_one_of_its_files_is_named(
    name: str, disk: LocalArtifactStore, tmp_path: Path
) -> None:
    """What a killed save or a lost file leaves is no model."""
    materializer = ClassifierMaterializer(f"{disk.path}/model/1", disk)
    materializer.save(classifier(tmp_path / "trained"))
    (Path(materializer.uri) / name).unlink()
    with pytest.raises(DamagedArtifact, match=r"The classifier at .* cannot be read .*python run.py --train"):
        materializer.load(Classifier)


@pytest.mark.parametrize("change", [{"format_version": 3}, {"accuracy": 1.0}, {"epochs": "many"}])
def test_an_altered_record_is_named(
    change: dict[str, object], disk: LocalArtifactStore, tmp_path: Path
) -> None:
    """A later format, an unknown key or a value of another type is not read as something else."""
    materializer = ClassifierMaterializer(f"{disk.path}/model/1", disk)
    materializer.save(classifier(tmp_path / "trained"))
    path = Path(materializer.uri) / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DamagedArtifact, match=next(iter(change))):
        materializer.load(Classifier)


def test_a_model_that_was_not_stored_has_no_address(tmp_path: Path) -> None:
    """A release pins an address of the artifact store, never a path of this machine."""
    with pytest.raises(DamagedArtifact, match="not stored yet"):
        _ = classifier(tmp_path / "trained").model_uri


def test_metadata_and_cache_key_name_the_served_directory(disk: LocalArtifactStore, tmp_path: Path) -> None:
    """The dashboard shows digest, classes, the best epoch and the calibration, and the stored charts."""
    model = classifier(tmp_path / "trained")
    materializer = ClassifierMaterializer(f"{disk.path}/model/1", disk)
    materializer.save(model)
    assert materializer.extract_metadata(model) == {
        "digest": MODEL_DIGEST,
        "architecture": "small_cnn",
        "classes": list(CLASSES),
        "epochs": 2,
        "val_accuracy": 0.92,
        "temperature": 1.734,
        "abstention_threshold": 0.6125,
        "expected_calibration_error": 0.0127,
        "coverage": 0.9,
    }
    assert materializer.compute_content_hash(model) == MODEL_DIGEST
    shown = materializer.save_visualizations(model)
    assert [Path(uri).name for uri in shown] == ["curves.png", "reliability.png", "risk_coverage.png"]
    assert all(Path(uri).is_file() for uri in shown)
    assert set(shown.values()) == {VisualizationType.IMAGE}


def test_a_model_of_the_first_format_is_read(disk: LocalArtifactStore, tmp_path: Path) -> None:
    """It has neither calibration nor reference, and nobody asks for their files."""
    materializer = ClassifierMaterializer(f"{disk.path}/model/1", disk)
    materializer.save(classifier(tmp_path / "trained"))
    stored = Path(materializer.uri)
    for name in ("reliability.png", "risk_coverage.png", "drift_reference.arrow"):
        (stored / name).unlink()
    (stored / "record.json").write_text(json.dumps(FIRST_FORMAT))
    model = materializer.load(Classifier)
    assert model.record.format_version == 1
    assert (model.record.calibration, model.reference()) == (None, None)
    assert (model.serving_directory / "model.onnx").read_bytes() == b"network"
    assert len(materializer.save_visualizations(model)) == 1
    assert "temperature" not in materializer.extract_metadata(model)


def test_the_reference_comes_back_with_the_model(store: BaseArtifactStore, tmp_path: Path) -> None:
    """Row by row; one that was damaged is named when it is asked for."""
    materializer = ClassifierMaterializer(f"{store.path}/model/1", store)
    before = classifier(tmp_path / "trained")
    materializer.save(before)
    after = materializer.load(Classifier)
    ours, theirs = before.reference(), after.reference()
    assert ours is not None
    assert theirs is not None
    assert (len(theirs), theirs.to_bytes()) == (6, ours.to_bytes())
    (after.directory / "drift_reference.arrow").write_bytes(b"nothing")
    with pytest.raises(DamagedArtifact, match=r"drift reference .*python run.py --train"):
        after.reference()


def test_a_model_directory_is_fetched_whole_or_said_to_be_unreachable(tmp_path: Path) -> None:
    """The two files arrive byte for byte; nothing there is an unreachable store, other files are no model."""
    stored = tmp_path / "store"
    classifier(stored)
    target = tmp_path / "fetched"
    fetch_model_directory(f"{stored}/serving/", target)
    assert {file.name: file.read_bytes() for file in target.iterdir()} == {
        name: (stored / "serving" / name).read_bytes() for name in SERVING_FILES
    }
    with pytest.raises(ServiceUnreachable, match=r"cannot be copied .*python run.py --train"):
        fetch_model_directory(str(tmp_path / "gone"), target)
    (stored / "serving" / "code.pkl").write_bytes(b"x")
    with pytest.raises(Refused, match=r"code\.pkl"):
        fetch_model_directory(f"{stored}/serving", target)
    (stored / "serving" / "code.pkl").unlink()
    (stored / "serving" / "model.onnx").unlink()
    with pytest.raises(Refused, match="no model"):
        fetch_model_directory(f"{stored}/serving", target)


def test_what_fine_tuning_gained_is_shown() -> None:
    """Above 0 it was better than the frozen backbone; one phase has no such figure."""
    record = TrainingRecord.model_validate(FIRST_FORMAT)
    scores = (0.5, 0.8, 0.7, 0.75)
    epochs = tuple(
        record.epochs[0].model_copy(update={"epoch": number, "val_accuracy": score})
        for number, score in enumerate(scores, 1)
    )
    both = record.model_copy(update={"epochs": epochs, "fine_tuned_from": 2})
    assert both.fine_tuning_gain == pytest.approx(-0.05)
    assert both.model_copy(update={"fine_tuned_from": None}).fine_tuning_gain is None
    assert both.model_copy(update={"fine_tuned_from": 4}).fine_tuning_gain is None
