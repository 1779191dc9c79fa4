"""Measure the model that would be served, by the code that would serve it, on pictures it never saw."""

from __future__ import annotations

import io
import re
import time
from typing import TYPE_CHECKING, Annotated

import numpy as np
from PIL import Image
from pydantic import Field
from zenml import step

from materializers.classifier import Classifier
from materializers.errors import DamagedArtifact
from materializers.evaluation_report import EvaluationReport, Latency
from materializers.image_dataset import ImageDataset
from materializers.report import Record
from materializers.splits import TEST, Splits

if TYPE_CHECKING:
    from serving.predictor import Predictor

CONFUSION, ROC = "confusion_matrix", "roc_curves"
NOT_IN_A_METRIC_NAME = re.compile(r"[^\w.\- ]")
"""What MLflow refuses in the name of a metric."""
EVALUATION_TAG = "evaluation_sent"
"""Of a run that has a whole evaluation: the report's digest. Written last."""


class EvaluateSettings(Record):
    """How a model is measured."""

    bootstrap_resamples: int = Field(default=1000, ge=100, le=100_000)
    """Resamples behind each 95 % interval."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    latency_requests: int = Field(default=500, ge=100, le=100_000)
    """Single pictures that are timed; fewer than 100 have no 99th percentile."""
    latency_warm_up: int = Field(default=20, ge=0, le=100_000)
    batch_size: int = Field(default=64, ge=1, le=65_536)
    threads: int = Field(default=2, ge=1, le=1024)
    """For the metrics; the latency is one thread's, as in serving."""


def measure_latency(
    predictor: Predictor, pictures: list[tuple[bytes, int]], *, samples: int, warm_up: int
) -> Latency:
    """Time one picture and its orientation after the other, from bytes to answer, in this process."""
    taken = []
    for number in range(-warm_up, samples):
        picture, orientation = pictures[number % len(pictures)]
        begun = time.perf_counter()
        predictor.predict([picture], orientations=[orientation])
        if number >= 0:
            taken.append((time.perf_counter() - begun) * 1000)
    p50, p99 = np.percentile(taken, (50, 99))
    return Latency(p50_ms=float(p50), p99_ms=float(p99), n=samples)


def evaluate_model(
    classifier: Classifier, dataset: ImageDataset, splits: Splits, settings: EvaluateSettings
) -> EvaluationReport:
    """Measure a classifier's serving directory on the test pictures.

    Raises:
        DamagedArtifact: the serving directory is not the one that was trained, or no picture is for testing.
    """
    from serving.model_directory import ModelDirectoryError
    from serving.predictor import Predictor
    from steps.evaluation.answers import answers
    from steps.evaluation.metrics import UNUSABLE, evaluate_answers
    from steps.evaluation.pictures import confusion_picture, roc_picture

    serving, digest = classifier.serving_directory, classifier.record.model_digest
    try:
        wide = Predictor.load(serving, expected_digest=digest, threads=settings.threads)
        single = Predictor.load(serving, expected_digest=digest)
    except ModelDirectoryError as error:
        raise DamagedArtifact(f"{error}. Train again: python run.py --train") from error
    classes = wide.metadata.classes
    image_ids = splits.image_ids(TEST)
    if not image_ids:
        raise DamagedArtifact("The splits name no test picture: there is nothing to measure the model on.")
    true = np.array([classes.index(label) for label in dataset.labels(image_ids)])
    predicted, probabilities = answers(wide, dataset, image_ids, true, batch_size=settings.batch_size)
    metrics = evaluate_answers(
        true, predicted, probabilities, classes, resamples=settings.bootstrap_resamples, seed=settings.seed
    )
    timed = image_ids[: settings.latency_requests]
    latency = measure_latency(
        single,
        list(zip(dataset.pictures(timed), dataset.orientations(timed), strict=True)),
        samples=settings.latency_requests,
        warm_up=settings.latency_warm_up,
    )
    report = EvaluationReport(
        model=digest,
        data=dataset.version,
        splits=splits.digest,
        n=len(image_ids),
        accuracy=metrics.accuracy,
        f1_macro=metrics.f1_macro,
        roc_auc_macro=metrics.roc_auc_macro,
        per_class=metrics.per_class,
        classes=classes,
        confusion=metrics.confusion,
        latency=latency,
        model_bytes=sum(file.stat().st_size for file in serving.iterdir()),
        set_aside=int(np.count_nonzero(predicted == UNUSABLE)),
    )
    return report.with_pictures(
        {
            CONFUSION: confusion_picture(metrics.confusion, classes),
            ROC: roc_picture(true, probabilities, classes),
        }
    )


def track(report: EvaluationReport) -> None:
    """Log the test metrics and pictures to the MLflow run that is open; without one, nothing is logged.

    What an attempt before has sent to this run is not there twice. Sent last is ``evaluation_sent``.
    """
    import mlflow

    from steps.tracker import log_metrics

    if mlflow.active_run() is None:
        return
    values = {
        "test_accuracy": report.accuracy.value,
        "test_f1_macro": report.f1_macro.value,
        "test_roc_auc_macro": report.roc_auc_macro.value,
        "latency_p50_ms": report.latency.p50_ms,
        "latency_p99_ms": report.latency.p99_ms,
        "model_bytes": float(report.model_bytes),
    }
    for label, of_class in report.per_class.items():
        name = NOT_IN_A_METRIC_NAME.sub("_", label)
        values[f"test_precision/{name}"] = of_class.precision.value
        values[f"test_recall/{name}"] = of_class.recall.value
        values[f"test_f1_score/{name}"] = of_class.f1_score.value
    log_metrics((name, value, 0) for name, value in values.items() if value is not None)
    mlflow.log_text(report.model_dump_json(indent=2), "evaluation_report.json")
    for name, data in report.pictures.items():
        mlflow.log_image(Image.open(io.BytesIO(data)), f"{name}/{name}.png")
    mlflow.set_tag(EVALUATION_TAG, report.digest)


@step(enable_cache=False, experiment_tracker=True)  # the latency is this machine's, now
def evaluate(
    classifier: Classifier | None,
    dataset: ImageDataset | None,
    splits: Splits | None,
    settings: EvaluateSettings,
) -> Annotated[EvaluationReport | None, "evaluation"]:
    """Evaluate a classifier on the test split; without a classifier there is no report."""
    if classifier is None or dataset is None or splits is None:
        return None
    from steps.tracker import send

    report = evaluate_model(classifier, dataset, splits, settings)
    send("this evaluation", lambda: track(report))
    return report
