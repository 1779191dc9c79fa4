"""A model is stored file by file and its record last, so that one without a record is none."""

import json
from pathlib import Path

import pytest
from zenml.artifact_stores import BaseArtifactStore
from zenml.artifact_stores.local_artifact_store import LocalArtifactStore
from zenml.enums import VisualizationType

from materializers.classifier import SERVING_FILES, Classifier, ClassifierMaterializer, fetch_model_directory
from materializers.errors import DamagedArtifact, Refused, ServiceUnreachable
from tests.materializers.examples import CLASSES, MODEL_DIGEST, classifier

FILES = ("weights.safetensors", "curves.png", "serving/model.onnx", "serving/metadata.json", "record.json")


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


@pytest.mark.parametrize("change", [{"format_version": 2}, {"accuracy": 1.0}, {"epochs": "many"}])
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
    """The dashboard shows digest, classes and the best epoch; its picture is the stored curves."""
    model = classifier(tmp_path / "trained")
    materializer = ClassifierMaterializer(f"{disk.path}/model/1", disk)
    materializer.save(model)
    assert materializer.extract_metadata(model) == {
        "digest": MODEL_DIGEST,
        "architecture": "small_cnn",
        "classes": list(CLASSES),
        "epochs": 2,
        "val_accuracy": 0.92,
    }
    assert materializer.compute_content_hash(model) == MODEL_DIGEST
    ((uri, kind),) = materializer.save_visualizations(model).items()
    assert (Path(uri).is_file(), kind) == (True, VisualizationType.IMAGE)


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
