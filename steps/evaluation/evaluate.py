"""Measure the model that would be served, by the code that would serve it, on pictures it never saw."""

from __future__ import annotations

import math
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from zenml import step

from materializers.classifier import Classifier
from materializers.errors import DamagedArtifact
from materializers.evaluation_report import EvaluationReport
from materializers.image_dataset import ImageDataset
from materializers.picture_sheet import places_of
from materializers.report import json_digest, render_page
from materializers.splits import TEST, Splits
from steps.evaluation.comparison.settings import Anchor, ComparisonSettings
from steps.evaluation.settings import EvaluateSettings

if TYPE_CHECKING:
    from materializers.evaluation.comparison import Comparison
    from materializers.evaluation.metric import Section
    from steps.evaluation.examined import Examined

CONFUSION, ROC, COMPARED = "confusion_matrix", "roc_curves", "compared_with_champion"
NOT_IN_A_METRIC_NAME = re.compile(r"[^\w.\- ]")
"""What MLflow refuses in the name of a metric."""
LONGEST_METRIC_NAME = 250
"""Characters that MLflow takes."""
EVALUATION_TAG = "evaluation_sent"
"""Of a run that has a whole evaluation: the report's digest. Written last."""


def examine(
    classifier: Classifier, dataset: ImageDataset, splits: Splits, settings: EvaluateSettings
) -> Examined:
    """Ask the model that would be served for every test picture.

    Raises:
        DamagedArtifact: the serving directory is not the one that was trained, or no picture is for testing.
    """
    from serving.model_directory import ModelDirectoryError
    from serving.predictor import Predictor
    from steps.evaluation.answers import answers
    from steps.evaluation.examined import Examined

    serving, digest = classifier.serving_directory, classifier.record.model_digest
    try:
        predictor = Predictor.load(serving, expected_digest=digest, threads=settings.threads)
    except ModelDirectoryError as error:
        raise DamagedArtifact(f"{error}. Train again: python run.py --train") from error
    image_ids = splits.image_ids(TEST)
    if not image_ids:
        raise DamagedArtifact("The splits name no test picture: there is nothing to measure the model on.")
    classes = predictor.metadata.classes
    true = np.array([classes.index(label) for label in dataset.labels(image_ids)])
    predicted, probabilities = answers(predictor, dataset, image_ids, true, batch_size=settings.batch_size)
    return Examined(
        classifier=classifier,
        predictor=predictor,
        dataset=dataset,
        image_ids=tuple(image_ids),
        true=true,
        predicted=predicted,
        probabilities=probabilities,
    )


def report_on(examined: Examined, splits: Splits, settings: EvaluateSettings) -> EvaluationReport:
    """Everything that is measured of a model by itself.

    Args:
        examined: the model and its answers.
        splits: that name its test pictures.
        settings: how it is measured.
    """
    from steps.evaluation.metrics import UNUSABLE, evaluate_answers
    from steps.evaluation.pictures import confusion_picture, roc_picture

    classes = examined.classes
    metrics = evaluate_answers(
        examined.true,
        examined.predicted,
        examined.probabilities,
        classes,
        resamples=settings.bootstrap_resamples,
        seed=settings.seed,
        top_k=settings.top_k,
    )
    parts, pictures = assess_parts(examined, settings)
    serving = examined.classifier.serving_directory
    report = EvaluationReport(
        model=examined.classifier.record.model_digest,
        data=examined.dataset.version,
        splits=splits.digest,
        test_set=json_digest(examined.image_ids),
        n=len(examined.image_ids),
        accuracy=metrics.accuracy,
        f1_macro=metrics.f1_macro,
        roc_auc_macro=metrics.roc_auc_macro,
        per_class=metrics.per_class,
        classes=classes,
        confusion=metrics.confusion,
        model_bytes=sum(file.stat().st_size for file in serving.iterdir()),
        set_aside=int(np.count_nonzero(examined.predicted == UNUSABLE)),
        discrimination=metrics.discrimination,
        **parts,
    )
    return report.with_pictures(
        {
            CONFUSION: confusion_picture(metrics.confusion, classes),
            ROC: roc_picture(examined.true, examined.probabilities, classes),
            **pictures,
        }
    )


def assess_parts(
    examined: Examined, settings: EvaluateSettings
) -> tuple[dict[str, Section], dict[str, bytes]]:
    """Each part of an evaluation by the name of its field in the report, and all pictures by name."""
    from steps.evaluation.abstention import assess_abstention
    from steps.evaluation.behaviour.behaviour import assess_behaviour
    from steps.evaluation.calibration_quality import assess_calibration_quality
    from steps.evaluation.cost.assess import assess_cost
    from steps.evaluation.explanations.assess import assess_explanations
    from steps.evaluation.robustness.assess import assess_robustness
    from steps.evaluation.security.advisories import recent_audit
    from steps.evaluation.security.assess import assess_security
    from steps.evaluation.slices.fairness import assess_fairness
    from steps.evaluation.slices.slices import assess_slices
    from steps.evaluation.unknown_pictures.detection import assess_unknown_pictures
    from steps.evaluation.watermark import assess_watermark
    from steps.evaluation.worst_mistakes import assess_worst_mistakes

    assessed: dict[str, tuple[Section, dict[str, bytes]]] = {
        "calibration": assess_calibration_quality(examined, settings.calibration),
        "abstention": assess_abstention(examined, settings.abstention),
        "unknown": assess_unknown_pictures(examined, settings.unknown),
        "worst_mistakes": assess_worst_mistakes(examined, settings.worst_mistakes),
        "slices": assess_slices(examined, settings.slices),
        "fairness": assess_fairness(examined, settings.slices),
        "robustness": assess_robustness(examined, settings.robustness),
        "explanations": assess_explanations(examined, settings.explanations),
        "behaviour": assess_behaviour(examined, settings.behaviour),
        "cost": assess_cost(examined, settings.cost),
        "security": assess_security(examined, settings.security, audit=recent_audit(settings.security)),
        "watermark": assess_watermark(examined),
    }
    pictures = {name: data for _, drawn in assessed.values() for name, data in drawn.items()}
    return {name: part for name, (part, _) in assessed.items()}, pictures


def comparison_pictures(compared: dict[str, Comparison]) -> dict[str, bytes]:
    """The difference to the champion on all rows and their parts, as far as there is one."""
    from steps.evaluation.comparison.forest_picture import forest_picture

    champion = compared.get("champion")
    return {COMPARED: forest_picture(champion)} if champion is not None and champion.overall else {}


def tracked_metrics(report: EvaluationReport) -> dict[str, float]:
    """Every number that a policy can have a rule on, under the name that the experiment tracker has it by.

    Args:
        report: an evaluation.

    Returns:
        ``test_METRIC``, or ``test_METRIC/SUBJECT`` of a class, a group or a corruption, as far as it is a
        finite number; and latency and size, which are the model's, also by their own names.
    """
    own: dict[str, float | None] = {**report.latency_ms, "model_bytes": float(report.model_bytes)}
    for each in report.measured():
        of = "" if each.subject is None else "/" + NOT_IN_A_METRIC_NAME.sub("_", each.subject)
        own[f"test_{each.metric}{of}"[:LONGEST_METRIC_NAME]] = (
            None if each.value is None else each.value.value
        )
    return {name: value for name, value in own.items() if value is not None and math.isfinite(value)}


def _write_artifacts(report: EvaluationReport, folder: Path) -> None:
    """Write the report, its pictures and its page as the experiment tracker keeps them.

    The page has the charts alone: what shows photographs says so where it is a file of its own, and one that
    is forgotten can be taken out of that.
    """
    for name, data in report.pictures.items():
        (folder / name).mkdir()
        (folder / name / f"{name}.png").write_bytes(data)
    if report.security is not None and report.security.bills:
        from steps.evaluation.security.assess import bills_of_materials

        (folder / "sbom").mkdir()
        for name, data in bills_of_materials(report.security.bills).items():
            (folder / "sbom" / name).write_bytes(data)
    charts = {name: data for name, data in report.pictures.items() if places_of(data) == {}}
    page = render_page(report.template, report, charts, room=report.picture_bytes)
    (folder / "evaluation_report.html").write_text(page, encoding="utf-8")
    (folder / "evaluation_report.json").write_text(report.model_dump_json(indent=2), encoding="utf-8")


def track(report: EvaluationReport) -> None:
    """Log numbers, pictures and page to the MLflow run that is open; without one, nothing is logged.

    What an attempt before has sent to this run is not there twice. Sent last is ``evaluation_sent``.
    """
    import mlflow

    from steps.tracker import log_metrics

    if mlflow.active_run() is None:
        return
    log_metrics((name, value, 0) for name, value in tracked_metrics(report).items())
    with tempfile.TemporaryDirectory(prefix="shutterline-evaluation-") as folder:
        _write_artifacts(report, Path(folder))
        mlflow.log_artifacts(folder)
    mlflow.set_tag(EVALUATION_TAG, report.digest)


@step(enable_cache=False, experiment_tracker=True)  # times, champion and advisories are those of now
def evaluate(
    classifier: Classifier | None,
    dataset: ImageDataset | None,
    splits: Splits | None,
    settings: EvaluateSettings,
    comparison: ComparisonSettings,
    anchor: Anchor,
    model_name: str,
) -> Annotated[EvaluationReport | None, "evaluation"]:
    """Evaluate a classifier on the test split, and compare it; without a classifier there is no report.

    Raises:
        DamagedArtifact: the serving directory is not the one that was trained, or no picture is for testing.
        ServiceUnreachable: the registry, the artifact store or the audit log cannot be read.
    """
    if classifier is None or dataset is None or splits is None:
        return None
    from steps.evaluation.comparison.assess import assess_comparisons
    from steps.tracker import send

    examined = examine(classifier, dataset, splits, settings)
    report = report_on(examined, splits, settings)
    compared = assess_comparisons(
        examined,
        splits,
        comparison,
        model_name=model_name,
        anchor=anchor,
        test_set=report.test_set or "",
    )
    report = report.model_copy(update=compared).with_pictures(comparison_pictures(compared))
    send("this evaluation", lambda: track(report))
    return report
