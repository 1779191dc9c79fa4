"""What a training leaves in MLflow."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from materializers.classifier import Classifier, EpochMetrics
from serving.predictor import Predictor
from serving.preprocess import decode
from steps.training.tracking import (
    EPOCH_METRICS,
    LONGEST_PARAMETER,
    TRAINING_TAG,
    curves,
    pinned_requirements,
    system_metrics,
    track,
)
from tests.steps.tracking_run import tracking_run
from tests.steps.training.examples import CLASSES, dataset, settings, trained

ROOT = Path(__file__).resolve().parents[3]
PICKLED = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")
"""How pickles begin, and the archives that torch puts them in."""


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """Trained for two epochs."""
    return trained(tmp_path_factory.mktemp("trained") / "model", epochs=2)


@pytest.fixture
def run_id(tmp_path: Path) -> Iterator[str]:
    """An open MLflow run; its artifacts lie in ``tmp_path``."""
    with tracking_run(tmp_path) as opened:
        yield opened


def points(run_id: str, name: str) -> list[tuple[int, float]]:
    """Steps and values of a metric, each as often as MLflow has it."""
    import mlflow

    history = mlflow.MlflowClient().get_metric_history(run_id, name)
    return sorted((point.step, point.value) for point in history)


def test_metrics_are_logged_per_epoch_under_the_products_names(classifier: Classifier, run_id: str) -> None:
    """One value an epoch, and the size of the model."""
    track(classifier)
    names = ("accuracy", "precision", "recall", "f1_score", "loss", "val_accuracy", "val_loss")
    assert names == EPOCH_METRICS
    for name in names:
        kept = {epoch.epoch: getattr(epoch, name) for epoch in classifier.record.epochs}
        assert len(points(run_id, name)) == len(kept)
        assert dict(points(run_id, name)) == pytest.approx(kept)
    ((_, size),) = points(run_id, "model_bytes")
    assert size == sum(file.stat().st_size for file in classifier.serving_directory.iterdir())


def test_parameters_are_the_settings_that_decide(classifier: Classifier, run_id: str) -> None:
    """By the product's names, and every other one; none that leaves the bytes as they are."""
    import mlflow

    track(classifier)
    logged = mlflow.get_run(run_id).data.params
    chosen = {"learning_rate": "0.001", "batch_size": "8", "architecture": "small_cnn", "optimizer": "adam"}
    assert chosen.items() <= logged.items()
    assert json.loads(logged["data_augmentation"])["rotation"] == 15.0
    tags = mlflow.get_run(run_id).data.tags
    assert tags["model_digest"] == classifier.record.model_digest
    assert (tags["configuration_digest"], tags["code_digest"]) == ("c" * 64, "d" * 64)
    assert {"seed", "threads", "fine_tuning.blocks", "preprocessing.height", "data_version"} <= logged.keys()
    assert not {"memory_mb", "checkpoint_seconds"} & logged.keys()


def test_the_calibration_is_logged(classifier: Classifier, run_id: str) -> None:
    """What was chosen as parameters, what it came to as metrics of the epoch that was kept."""
    import mlflow

    track(classifier)
    run, calibration = mlflow.get_run(run_id), classifier.record.calibration
    assert calibration is not None
    assert float(run.data.params["temperature"]) == calibration.temperature
    assert float(run.data.params["abstention_threshold"]) == calibration.threshold
    ((epoch, error),) = points(run_id, "val_ece_after")
    assert epoch == classifier.record.best_epoch
    assert error == pytest.approx(calibration.ece_after)
    assert run.data.metrics["val_coverage"] == 1


def test_a_parameter_that_is_too_long_is_cut(classifier: Classifier, run_id: str) -> None:
    """MLflow would refuse it, and all that is sent with it."""
    import mlflow

    own = settings(weights="file:///" + "w" * 7000, weights_sha256="0" * 64)
    record = classifier.record.model_copy(update={"settings": own.model_dump(mode="json")})
    track(replace(classifier, record=record))
    logged = mlflow.get_run(run_id).data.params["weights"]
    assert len(logged) == LONGEST_PARAMETER
    assert logged.endswith("w… (7008 characters)")


def test_a_parameter_that_the_run_has_with_another_value_becomes_a_tag(
    classifier: Classifier, run_id: str
) -> None:
    """MLflow never changes one; whatever else is sent arrives all the same."""
    import mlflow

    mlflow.log_param("batch_size", 64)
    track(classifier)
    data = mlflow.get_run(run_id).data
    assert (data.params["batch_size"], data.tags["changed.batch_size"]) == ("64", "8")
    assert data.params["optimizer"] == "adam"


def test_log_and_curves_are_artifacts(classifier: Classifier, run_id: str) -> None:
    """A line of JSON an epoch, and a picture."""
    import mlflow

    track(classifier)
    client = mlflow.MlflowClient()
    assert {"curves.png", "training_logs"} <= {file.path for file in client.list_artifacts(run_id)}
    log = Path(client.download_artifacts(run_id, "training_logs/epochs.jsonl")).read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in log] == [1, 2]
    picture = Path(client.download_artifacts(run_id, "curves.png"))
    assert picture.read_bytes() == (classifier.directory / "curves.png").read_bytes()


def test_the_logged_model_answers_as_serving_does(classifier: Classifier, run_id: str) -> None:
    """One, two and three pictures at a time, by both of MLflow's ways to load it."""
    import mlflow
    import mlflow.onnx
    import onnxruntime

    track(classifier)
    predictor = Predictor.load(classifier.serving_directory)
    pictures = dataset()
    stored = pictures.pictures(pictures.index["image_id"].tolist()[:3])
    images = np.stack([decode(data, predictor.metadata.preprocessing) for data in stored])
    uri = f"runs:/{run_id}/trained_model"
    loaded = mlflow.pyfunc.load_model(uri)
    session = onnxruntime.InferenceSession(mlflow.onnx.load_model(uri).SerializeToString())
    for n in (1, 2, 3):
        expected = predictor.scores(images[:n])[0]
        assert np.allclose(loaded.predict(images[:n])["logits"], expected, atol=1e-5)
        assert np.allclose(session.run(["logits"], {"images": images[:n]})[0], expected, atol=1e-5)


def test_the_logged_model_says_what_it_is(classifier: Classifier, run_id: str) -> None:
    """Signature, an example of two pictures, class names, digest, and exact versions."""
    import mlflow

    track(classifier)
    model = mlflow.models.get_model_info(f"runs:/{run_id}/trained_model")
    assert model.signature is not None
    (images,) = model.signature.inputs.to_dict()
    assert images["tensor-spec"] == {"dtype": "uint8", "shape": (-1, 16, 16, 3)}
    logits = model.signature.outputs.to_dict()[0]
    assert logits["tensor-spec"] == {"dtype": "float32", "shape": (-1, len(CLASSES))}
    assert model.metadata is not None
    assert model.metadata["classes"] == CLASSES
    assert model.metadata["model_digest"] == classifier.record.model_digest
    folder = mlflow.artifacts.download_artifacts(model.model_uri)
    example = mlflow.models.Model.load(folder).load_input_example(folder)
    assert isinstance(example, dict)
    assert np.asarray(example["images"]).shape == (2, 16, 16, 3)
    required = (Path(folder) / "requirements.txt").read_text()
    assert set(pinned_requirements()) <= set(required.split())
    assert all("==" in line for line in required.split())


def test_requirements_are_those_of_servings_lock() -> None:
    """The same onnxruntime, Pillow and JPEG decoder as what is evaluated and served."""
    lock = (ROOT / "serving" / "requirements.lock").read_text().splitlines()
    names = {"numpy", "onnxruntime", "pillow", "pydantic", "simplejpeg"}
    required = {line.partition("==")[0]: line for line in pinned_requirements()}
    assert required.keys() == names | {"onnx"}
    assert {required[name] for name in names} <= set(lock)


def test_nothing_that_is_logged_executes(classifier: Classifier, run_id: str, tmp_path: Path) -> None:
    """ONNX, JSON, YAML, text and a picture; no pickle, no archive of torch's, no code."""
    track(classifier)
    files = [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {"", ".onnx", ".json", ".jsonl", ".yaml", ".txt", ".png"}
    assert {path.name for path in files if not path.suffix} == {"MLmodel"}
    assert [path for path in files if path.read_bytes().startswith(PICKLED)] == []
    (model,) = [path for path in files if path.name == "model.onnx"]
    assert "code:" not in (model.parent / "MLmodel").read_text().replace("code: null", "")


def test_what_is_sent_again_arrives_once(
    classifier: Classifier, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken off at the model, sent again and again: each value once, one model, and the mark at the end."""
    import mlflow
    import mlflow.onnx

    def lost(*_: Any, **__: Any) -> None:
        raise OSError("the tracker went away")

    with monkeypatch.context() as patched:
        patched.setattr(mlflow.onnx, "log_model", lost)
        with pytest.raises(OSError, match="went away"):
            track(classifier)
    assert TRAINING_TAG not in mlflow.get_run(run_id).data.tags
    track(classifier)
    track(classifier)
    run = mlflow.get_run(run_id)
    assert [step for step, _ in points(run_id, "loss")] == [1, 2]
    assert len(points(run_id, "model_bytes")) == 1
    assert len(mlflow.MlflowClient().search_logged_models([run.info.experiment_id])) == 1
    assert run.data.tags[TRAINING_TAG] == classifier.record.digest


def test_more_metrics_than_one_call_takes_all_arrive(classifier: Classifier, run_id: str) -> None:
    """Two hundred epochs have 1,400 values."""
    first = classifier.record.epochs[0]
    epochs = tuple(first.model_copy(update={"epoch": number}) for number in range(1, 201))
    track(replace(classifier, record=classifier.record.model_copy(update={"epochs": epochs})))
    assert [len(points(run_id, name)) for name in EPOCH_METRICS] == [200] * 7


def test_a_training_that_was_given_up_is_tagged(tmp_path: Path) -> None:
    """The run's tags say so, and why; the run of one that learnt has neither."""
    import mlflow

    learning = {"after_epochs": 1, "floor": 1.0}
    given_up = trained(tmp_path / "model", epochs=2, learning_rate=1e-7, learning=learning)
    assert given_up.record.failure is not None
    with tracking_run(tmp_path) as run_id:
        track(given_up)
        tags = mlflow.MlflowClient().get_run(run_id).data.tags
    assert (tags["status"], tags["failure"]) == ("failed_to_learn", given_up.record.failure)


def test_without_an_open_run_nothing_is_logged(
    classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No experiment tracker, no store that appears in the working directory."""
    monkeypatch.chdir(tmp_path)
    with system_metrics():
        track(classifier)
    assert list(tmp_path.iterdir()) == []


def test_a_training_leaves_what_the_machine_did(run_id: str) -> None:
    """Also one that is shorter than the interval, and for milliseconds."""
    import mlflow

    begun = time.process_time()
    with system_metrics():
        time.sleep(0.1)
    cost = time.process_time() - begun
    logged = mlflow.get_run(run_id).data.metrics
    assert logged["system/system_memory_usage_megabytes"] > 0
    assert "system/cpu_utilization_percentage" in logged
    assert cost < 2


def test_system_metrics_can_be_turned_off(run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By MLflow's own variable."""
    import mlflow

    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    with system_metrics():
        time.sleep(0.1)
    assert mlflow.get_run(run_id).data.metrics == {}


def test_curves_are_a_small_png() -> None:
    """Fifty epochs stay below 60 kB."""
    epochs = tuple(
        EpochMetrics(
            epoch=number,
            learning_rate=0.001,
            loss=1 / number,
            accuracy=1 - 1 / number,
            val_loss=1.1 / number,
            val_accuracy=0.9,
            precision=0.9,
            recall=0.9,
            f1_score=0.9,
        )
        for number in range(1, 51)
    )
    picture = curves(epochs, 40)
    assert picture.startswith(b"\x89PNG")
    assert 5_000 < len(picture) < 60_000
