"""What a training leaves in the experiment tracker: parameters, metrics per epoch, curves, log and model.

All of it is made from the stored classifier alone, so that ``register`` sends the same when the tracker was
lost while it was trained.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

import serving
from materializers.classifier import CURVES, FAILED_TO_LEARN, Classifier, EpochMetrics, TrainingRecord
from materializers.picture_sheet import encode_chart
from serving.model_directory import read_metadata
from steps.tracker import log_metrics
from steps.training.settings import DECIDES_NOTHING, TrainSettings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from serving.model_directory import Preprocessing

EPOCH_METRICS = ("accuracy", "precision", "recall", "f1_score", "loss", "val_accuracy", "val_loss")
CALIBRATION_METRICS = ("ece_before", "ece_after", "nll_before", "nll_after", "coverage", "selective_risk")
TRAINED_MODEL = "trained_model"
TRAINING_TAG = "training_sent"
"""Of a run that has a whole training: the digest of its record. Written last."""
CHANGED_TAG = "changed."
"""Begins the tags of parameters that the run already had with other values."""
LONGEST_PARAMETER = 6000
"""Characters that MLflow takes."""
SERVED_WITH = frozenset({"numpy", "onnxruntime", "pillow", "pydantic", "simplejpeg"})
"""What serving's lock pins and a loaded model needs; ``onnx``, which MLflow loads it with, comes beside."""
MONITOR_LOG, REQUIREMENTS_LOG = (
    "mlflow.system_metrics.system_metrics_monitor",
    "mlflow.utils.requirements_utils",
)
SAMPLED_EVERY_S = 10.0
SYSTEM_METRICS_SWITCH = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"
"""MLflow's own variable: ``false`` turns them off, ``true`` leaves them to MLflow, for every step."""


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
    return encode_chart(figure)


def parameters_of(settings: TrainSettings) -> dict[str, str]:
    """Every setting that decides what a model becomes, as the tracker shows it.

    Nested ones are named as ``fine_tuning.blocks`` is; ``data_augmentation`` is the augmentation in JSON, or
    ``none``.
    """
    kept = settings.model_dump(mode="json", exclude={*DECIDES_NOTHING, "augmentation"})
    augmentation = settings.augmentation
    named = {
        **_flat(kept),
        "data_augmentation": augmentation.model_dump_json() if augmentation.active else "none",
    }
    return {name: _shortened(str(value)) for name, value in named.items()}


def track(classifier: Classifier) -> None:
    """Log a finished training to the MLflow run that is open; without one, nothing is logged.

    What an attempt before has sent to this run is not there twice. Sent last is ``training_sent``.
    """
    import mlflow

    run = mlflow.active_run()
    if run is None:
        return
    record, client, run_id = classifier.record, mlflow.MlflowClient(), run.info.run_id
    _log_parameters(client, client.get_run(run_id), record)
    log_metrics(_points(classifier))
    mlflow.log_artifact(str(classifier.directory / CURVES))
    log = "\n".join(epoch.model_dump_json() for epoch in record.epochs)
    mlflow.log_text(log, "training_logs/epochs.jsonl")
    if not _has_model(client, run, record.model_digest):
        _log_model(classifier, read_metadata(classifier.serving_directory).preprocessing)
    if record.failure is not None:
        mlflow.set_tags({"status": FAILED_TO_LEARN, "failure": record.failure})
    mlflow.set_tag(TRAINING_TAG, record.digest)


@contextmanager
def system_metrics() -> Iterator[None]:
    """Log what the machine does meanwhile, every ten seconds, to the MLflow run that is open.

    MLflow's own variables set it otherwise: ``MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING``,
    ``MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL`` (seconds). A sample costs milliseconds. What a lost tracker
    does not take is not kept: it says how a machine did, nothing of the model.
    """
    import mlflow
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    run = mlflow.active_run()
    if run is None or SYSTEM_METRICS_SWITCH in os.environ:
        yield
        return
    # It would tell that the tracker is lost in words of its own, beside the one line that says it.
    logging.getLogger(MONITOR_LOG).setLevel(logging.CRITICAL)
    start: Any = SystemMetricsMonitor  # MLflow's has no types
    monitor = start(run.info.run_id, sampling_interval=SAMPLED_EVERY_S, resume_logging=True)
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()
        with suppress(Exception):
            # What was sampled since it last logged: all of a training that is shorter than the interval.
            monitor.publish_metrics(monitor.aggregate_metrics())
            monitor.mlflow_logger.flush()


def _points(classifier: Classifier) -> Iterator[tuple[str, float, int]]:
    """Each metric with its value and the epoch it belongs to; the model's size belongs to none."""
    record = classifier.record
    for epoch in record.epochs:
        yield from ((name, getattr(epoch, name), epoch.epoch) for name in EPOCH_METRICS)
    if (calibration := record.calibration) is not None:
        measured = ((name, getattr(calibration, name)) for name in CALIBRATION_METRICS)
        yield from ((f"val_{name}", value, record.best_epoch) for name, value in measured)
    yield "model_bytes", sum(file.stat().st_size for file in classifier.serving_directory.iterdir()), 0


def _flat(values: dict[str, Any], above: str = "") -> dict[str, Any]:
    """A tree as one level, its keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        inner = _flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
        flat.update(inner)
    return flat


def _shortened(text: str) -> str:
    if len(text) <= LONGEST_PARAMETER:
        return text
    end = f"… ({len(text)} characters)"
    return text[: LONGEST_PARAMETER - len(end)] + end


def _parameters(record: TrainingRecord) -> dict[str, str]:
    """What a training was given, and what was chosen on validation pictures."""
    given = parameters_of(TrainSettings.model_validate(record.settings)) if record.settings else {}
    parameters = {**given, "data_version": record.data, "splits_digest": record.splits}
    if (calibration := record.calibration) is not None:
        parameters["temperature"] = str(calibration.temperature)
        parameters["abstention_threshold"] = str(calibration.threshold)
    return parameters


def _log_parameters(client: MlflowClient, run: Run, record: TrainingRecord) -> None:
    """Log the settings as parameters, and the digests as tags.

    MLflow never changes a parameter: one that the run has with another value is logged as a tag instead.
    """
    from mlflow.entities import Param, RunTag

    known, wanted = run.data.params, _parameters(record)
    changed = {name: value for name, value in wanted.items() if known.get(name, value) != value}
    tags = {
        "model_digest": record.model_digest,
        "configuration_digest": record.configuration,
        "code_digest": record.code,
        **({"lock_digest": record.lock} if record.lock else {}),
        **{f"{CHANGED_TAG}{name}": value for name, value in changed.items()},
    }
    client.log_batch(
        run.info.run_id,
        params=[Param(name, value) for name, value in wanted.items() if name not in known],
        tags=[RunTag(name, value) for name, value in tags.items()],
    )


def _has_model(client: MlflowClient, run: Run, digest: str) -> bool:
    """Whether this run logged this model to the end before."""
    models = client.search_logged_models(
        [run.info.experiment_id], filter_string=f"source_run_id = '{run.info.run_id}'"
    )
    return any(
        model.status == "READY" and model.tags.get("model_digest") == digest
        for model in models
        if model.name == TRAINED_MODEL
    )


def _log_model(classifier: Classifier, preprocessing: Preprocessing) -> None:
    """Log the network as MLflow's ONNX flavor, in one file, as it is served: one thread of a CPU."""
    import mlflow.onnx
    import numpy as np
    import onnx
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    # It would warn that this process has another numpy than serving.
    logging.getLogger(REQUIREMENTS_LOG).setLevel(logging.ERROR)
    record = classifier.record
    picture = (preprocessing.height, preprocessing.width, 3)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, *picture), "images")]),
        outputs=Schema(
            [
                TensorSpec(np.dtype(np.float32), (-1, len(record.classes)), "logits"),
                TensorSpec(np.dtype(np.float32), (-1, -1), "embedding"),
            ]
        ),
    )
    mlflow.onnx.log_model(
        onnx.load(classifier.serving_directory / "model.onnx"),
        name=TRAINED_MODEL,
        signature=signature,
        # A black and a white one, and none of the data's: an erased picture would stay there. One alone would
        # be taken for a batch of one.
        input_example=np.stack([np.zeros(picture, np.uint8), np.full(picture, 255, np.uint8)]),
        # Named, or MLflow loads the model in a process of its own to find out.
        pip_requirements=pinned_requirements(),
        metadata={
            "classes": list(record.classes),
            "architecture": record.architecture,
            "model_digest": record.model_digest,
            "preprocessing": preprocessing.model_dump(mode="json"),
        },
        tags={"model_digest": record.model_digest},
        onnx_execution_providers=["CPUExecutionProvider"],
        onnx_session_options={"intra_op_num_threads": 1},
        save_as_external_data=False,
    )


def pinned_requirements() -> list[str]:
    """What a logged model is loaded with: the versions of serving's lock, and MLflow's loader."""
    lock = (Path(serving.__file__).parent / "requirements.lock").read_text(encoding="utf-8")
    pins = [line.split()[0] for line in lock.splitlines() if line.partition("==")[0] in SERVED_WITH]
    return [*pins, f"onnx=={version('onnx')}"]
