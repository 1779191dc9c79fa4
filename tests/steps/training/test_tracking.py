"""What a training leaves in MLflow."""

import json
from pathlib import Path

import pytest

from materializers.classifier import EpochMetrics
from steps.training.tracking import EPOCH_METRICS, curves, track
from tests.steps.tracking_run import tracking_run
from tests.steps.training.examples import CLASSES, settings, trained


def test_parameters_metrics_curves_log_and_model_are_logged(tmp_path: Path) -> None:
    """The product's names, a value an epoch, and a model that MLflow loads without unpickling anything."""
    import mlflow
    import numpy as np

    classifier = trained(tmp_path / "model", epochs=2)
    with tracking_run(tmp_path) as run_id:
        track(classifier, settings(epochs=2))
        client = mlflow.MlflowClient()
        run = client.get_run(run_id)
        wanted = {"learning_rate", "batch_size", "architecture", "optimizer", "data_augmentation"}
        assert wanted <= run.data.params.keys()
        assert run.data.params["architecture"] == "small_cnn"
        for name in EPOCH_METRICS:
            logged = {point.step: point.value for point in client.get_metric_history(run_id, name)}
            assert logged == {e.epoch: pytest.approx(getattr(e, name)) for e in classifier.record.epochs}
        calibration = classifier.record.calibration
        assert calibration is not None
        assert float(run.data.params["temperature"]) == calibration.temperature
        assert float(run.data.params["abstention_threshold"]) == calibration.threshold
        assert run.data.metrics["val_ece_after"] == pytest.approx(calibration.ece_after)
        assert run.data.metrics["val_coverage"] == 1
        names = {file.path for file in client.list_artifacts(run_id)}
        assert {"curves.png", "training_logs.jsonl"} <= names
        log = Path(client.download_artifacts(run_id, "training_logs.jsonl")).read_text().splitlines()
        assert [json.loads(line)["epoch"] for line in log] == [1, 2]
        (model,) = client.search_logged_models([run.info.experiment_id])
        assert model.name == "trained_model"
        answer = mlflow.pyfunc.load_model(model.model_uri).predict(np.zeros((3, 16, 16, 3), np.uint8))
        assert answer["logits"].shape == (3, len(CLASSES))
    files = [path.name for path in (tmp_path / "artifacts").rglob("*") if path.is_file()]
    assert "model.onnx" in files
    assert not [name for name in files if name.endswith((".pkl", ".pt", ".pt2", ".pth", ".data"))]


def test_a_training_that_was_given_up_is_tagged(tmp_path: Path) -> None:
    """The run's tags say so, and why; the run of one that learnt has neither."""
    import mlflow

    learning = {"after_epochs": 1, "floor": 1.0}
    given_up = trained(tmp_path / "model", epochs=2, learning_rate=1e-7, learning=learning)
    assert given_up.record.failure is not None
    with tracking_run(tmp_path) as run_id:
        track(given_up, settings())
        tags = mlflow.MlflowClient().get_run(run_id).data.tags
    assert (tags["status"], tags["failure"]) == ("failed_to_learn", given_up.record.failure)


def test_without_an_open_run_nothing_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No experiment tracker, no store that appears in the working directory."""
    classifier = trained(tmp_path / "model", epochs=1)
    monkeypatch.chdir(tmp_path)
    track(classifier, settings(epochs=1))
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


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
