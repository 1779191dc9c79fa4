"""What a training leaves in the experiment tracker: parameters, metrics per epoch, curves, log and model."""

from __future__ import annotations

import io
import time
from importlib.metadata import version
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from materializers.classifier import CURVES, FAILED_TO_LEARN, Classifier, EpochMetrics, TrainingRecord

if TYPE_CHECKING:
    from serving.model_directory import Preprocessing
    from steps.training.settings import TrainSettings

EPOCH_METRICS = ("accuracy", "precision", "recall", "f1_score", "loss", "val_accuracy", "val_loss")
CALIBRATION_METRICS = ("ece_before", "ece_after", "nll_before", "nll_after", "coverage", "selective_risk")
SERVING_REQUIREMENTS = ("onnxruntime", "numpy", "pillow", "simplejpeg", "pydantic")


def curves(epochs: tuple[EpochMetrics, ...], best_epoch: int) -> bytes:
    """Loss and accuracy by epoch, training beside validation, as a PNG."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    numbers = [epoch.epoch for epoch in epochs]
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        axes.plot(numbers, [getattr(epoch, name) for epoch in epochs], marker=".", label="training")
        axes.plot(
            numbers, [getattr(epoch, f"val_{name}") for epoch in epochs], marker=".", label="validation"
        )
        axes.axvline(best_epoch, color="grey", linestyle=":", label=f"kept: epoch {best_epoch}")
        axes.set(xlabel="epoch", title=name)
        axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def track(classifier: Classifier, settings: TrainSettings) -> None:
    """Log a finished training to the MLflow run that is open; without one, nothing is logged."""
    import mlflow

    run = mlflow.active_run()
    if run is None:
        return
    _log_numbers(run.info.run_id, classifier.record, settings)
    mlflow.log_artifact(str(classifier.directory / CURVES))
    log = "\n".join(epoch.model_dump_json() for epoch in classifier.record.epochs)
    mlflow.log_text(log, "training_logs.jsonl")
    if classifier.record.failure is not None:
        mlflow.set_tags({"status": FAILED_TO_LEARN, "failure": classifier.record.failure})
    _log_model(classifier, settings.preprocessing)


def _log_numbers(run_id: str, record: TrainingRecord, settings: TrainSettings) -> None:
    """Log in one call: a call costs 40 ms, whatever it holds."""
    import mlflow
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    metrics = [
        Metric(name, getattr(epoch, name), now, epoch.epoch)
        for epoch in record.epochs
        for name in EPOCH_METRICS
    ]
    augmentation = settings.augmentation.model_dump_json() if settings.augmentation.active else "none"
    parameters = {
        "learning_rate": settings.learning_rate,
        "batch_size": settings.batch_size,
        "architecture": settings.architecture,
        "optimizer": settings.optimizer,
        "data_augmentation": augmentation,
        "dropout": settings.dropout,
        "hidden": settings.hidden,
        "freeze_backbone": settings.freeze_backbone,
        "weights_sha256": settings.weights_sha256,
        "seed": settings.seed,
        "data_version": record.data,
        "splits_digest": record.splits,
        "model_digest": record.model_digest,
    }
    if (calibration := record.calibration) is not None:
        parameters["temperature"] = calibration.temperature
        parameters["abstention_threshold"] = calibration.threshold
        metrics += [
            Metric(f"val_{name}", getattr(calibration, name), now, record.best_epoch)
            for name in CALIBRATION_METRICS
        ]
    mlflow.MlflowClient().log_batch(
        run_id,
        metrics=metrics,
        params=[Param(name, str(value)) for name, value in parameters.items()],
    )


def _log_model(classifier: Classifier, preprocessing: Preprocessing) -> None:
    """Log the network as MLflow's ONNX flavor, in one file."""
    import mlflow.onnx
    import numpy as np
    import onnx
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    record = classifier.record
    images = (-1, preprocessing.height, preprocessing.width, 3)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), images, "images")]),
        outputs=Schema(
            [
                TensorSpec(np.dtype(np.float32), (-1, len(record.classes)), "logits"),
                TensorSpec(np.dtype(np.float32), (-1, -1), "embedding"),
            ]
        ),
    )
    mlflow.onnx.log_model(
        onnx.load(classifier.serving_directory / "model.onnx"),
        name="trained_model",
        signature=signature,
        # Named, or MLflow loads the model in a process of its own to find out.
        pip_requirements=[f"{name}=={version(name)}" for name in SERVING_REQUIREMENTS],
        metadata={"classes": list(record.classes), "model_digest": record.model_digest},
        save_as_external_data=False,
    )
