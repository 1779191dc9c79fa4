"""Measure the model that would be served, by the code that would serve it, on pictures it never saw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from zenml import step

from materializers.classifier import Classifier
from materializers.errors import DamagedArtifact
from materializers.evaluation_report import EvaluationReport
from materializers.image_dataset import ImageDataset
from materializers.report import json_digest
from materializers.splits import TEST, Splits
from steps.data.class_changes import ClassChanges
from steps.evaluation.comparison.settings import Anchor, ComparisonSettings
from steps.evaluation.settings import EvaluateSettings

if TYPE_CHECKING:
    from materializers.evaluation.comparison import Comparison
    from materializers.evaluation.metric import Section
    from steps.evaluation.examined import Examined

CONFUSION, ROC = "confusion_matrix", "roc_curves"


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
        raise DamagedArtifact(f"{error}. Train again: python run.py --train --source PATH") from error
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
        classes=classes,
        model_bytes=sum(file.stat().st_size for file in serving.iterdir()),
        set_aside=int(np.count_nonzero(examined.predicted == UNUSABLE)),
        **vars(metrics),
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
    from steps.evaluation.behaviour.assess import assess_behaviour
    from steps.evaluation.calibration_quality import assess_calibration_quality
    from steps.evaluation.cost.assess import assess_cost
    from steps.evaluation.explanations.assess import assess_explanations
    from steps.evaluation.robustness.assess import assess_robustness
    from steps.evaluation.security.advisories import recent_audit
    from steps.evaluation.security.assess import assess_security
    from steps.evaluation.slices.assess import assess_slices
    from steps.evaluation.slices.fairness import assess_fairness
    from steps.evaluation.unknown_pictures.assess import assess_unknown_pictures
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
    """The differences of each comparison that could be made, on all rows and on their parts."""
    from steps.evaluation.comparison.pictures import forest_picture

    return {f"{name}_comparison": forest_picture(one) for name, one in compared.items() if one.overall}


@step(enable_cache=False, experiment_tracker=True)  # times, champion and advisories are those of now
def evaluate(
    classifier: Classifier | None,
    dataset: ImageDataset | None,
    splits: Splits | None,
    settings: EvaluateSettings,
    comparison: ComparisonSettings,
    anchor: Anchor,
    class_changes: ClassChanges,
    model_name: str,
) -> Annotated[EvaluationReport | None, "evaluation"]:
    """Evaluate a classifier on the test split, and compare it; without a classifier there is no report.

    Raises:
        DamagedArtifact: the serving directory is not the one that was trained, or no picture is for testing.
        ServiceUnreachable: the artifact store or the audit log cannot be read.
    """
    if classifier is None or dataset is None or splits is None:
        return None
    from steps.deployment.deployer import active_deployer
    from steps.evaluation.comparison.assess import assess_comparisons
    from steps.evaluation.tracking import track
    from steps.tracker import send

    cost = settings.cost.scaled(active_deployer().scaling("production"))
    settings = settings.model_copy(update={"cost": cost})
    examined = examine(classifier, dataset, splits, settings)
    report = report_on(examined, splits, settings)
    compared = assess_comparisons(
        examined,
        splits,
        comparison,
        model_name=model_name,
        anchor=anchor,
        changes=class_changes,
    )
    report = report.model_copy(update=compared).with_pictures(comparison_pictures(compared))
    send("this evaluation", lambda: track(report))
    return report
