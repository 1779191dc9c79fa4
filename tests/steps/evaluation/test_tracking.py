"""The experiment tracker gets every measured number once, and no photograph that could not be erased."""

from __future__ import annotations

import base64
import math
import re
from pathlib import Path

import pytest
from PIL import Image

from materializers.evaluation.metric import Metric
from materializers.evaluation_report import EvaluationReport
from materializers.picture_sheet import encode_sheet, places_of
from steps.evaluation.pictures import confusion_picture
from steps.evaluation.security.sbom import bill_of_materials
from steps.evaluation.tracking import EVALUATION_TAG, track, tracked_metrics
from tests.materializers.examples import evaluation_report, full_evaluation_report
from tests.steps.tracking_run import tracking_run

NAME = "tops & <skirts>"
"""Of a class, a column, a group: nothing that MLflow takes as it is."""


@pytest.fixture(scope="module")
def report() -> EvaluationReport:
    """Every part, a chart and a sheet that shows two photographs."""
    sheet = encode_sheet(Image.new("RGB", (20, 10)), {"aa" * 32: [(0, 0, 9, 9)], "bb" * 32: [(10, 0, 19, 9)]})
    chart = confusion_picture(((3, 1), (0, 4)), ("tops", "bags"))
    return full_evaluation_report(NAME).with_pictures(
        {"feature_importance": chart, "model_explainability_reports": sheet}
    )


def test_every_measured_number_is_logged(report: EvaluationReport, tmp_path: Path) -> None:
    """Of the model, of classes, groups and corruptions; latency and size also by their own names."""
    import mlflow

    with tracking_run(tmp_path) as run_id:
        track(report)
        run = mlflow.MlflowClient().get_run(run_id)
    logged = run.data.metrics
    assert run.data.tags[EVALUATION_TAG] == report.digest
    for each in report.measured():
        if each.value is not None and each.value.value is not None and each.subject is None:
            assert logged[f"test_{each.metric}"] == pytest.approx(each.value.value), each
    assert report.cost is not None and report.cost.latency_p99_ms is not None
    assert logged["latency_p99_ms"] == report.cost.latency_p99_ms.value == logged["test_latency_p99_ms"]
    assert logged["model_bytes"] == report.model_bytes
    assert logged["test_recall/tops _ _skirts_"] == report.per_class[NAME].recall.value
    assert {
        "test_roc_auc/tops _ _skirts_",
        "test_worst_group_accuracy/tops _ _skirts__tops _ _skirts_",
        "test_corruption_relative_accuracy_of/blur",
        "test_adversarial_accuracy/FGSM 2_255",
        "test_invariance/flip",
        "test_class_harm/tops _ _skirts_",
    } <= logged.keys()
    assert "test_class_harm/bags" not in logged  # too few rows: no number


def test_a_number_that_is_none_is_not_logged() -> None:
    """Nor one that is infinite; a name is as long as MLflow takes."""
    undefined = Metric(value=None, n=0)
    infinite = undefined.model_copy(update={"value": math.inf})
    broken = full_evaluation_report("long " * 100).model_copy(
        update={"roc_auc_macro": undefined, "f1_macro": infinite}
    )
    found = tracked_metrics(broken)
    assert "test_accuracy" in found
    assert not {"test_roc_auc_macro", "test_f1_macro"} & found.keys()
    assert max(map(len, found)) == 250
    assert all(math.isfinite(value) for value in found.values())


def test_a_report_of_format_1_is_logged_by_the_names_of_then() -> None:
    """Latency in process, classes, the model."""
    found = tracked_metrics(evaluation_report())
    assert found["latency_p50_ms"] == 3.127
    assert found["test_f1_score/tops"] == 0.934
    assert found["test_f1_macro"] == 0.9338


def test_an_attempt_after_a_broken_one_logs_nothing_twice(report: EvaluationReport, tmp_path: Path) -> None:
    """Every metric has one value, however often it was sent."""
    import mlflow

    with tracking_run(tmp_path) as run_id:
        track(report)
        track(report)
        history = mlflow.MlflowClient().get_metric_history(run_id, "test_accuracy")
    assert len(history) == 1


def test_pictures_are_logged_as_they_are_and_the_page_without_photographs(
    report: EvaluationReport, tmp_path: Path
) -> None:
    """Under the product's names; a sheet still says which pictures it shows, so that one can be erased."""
    import mlflow

    with tracking_run(tmp_path) as run_id:
        track(report)
        artifacts = Path(mlflow.MlflowClient().download_artifacts(run_id, "", str(tmp_path)))
        for name, data in report.pictures.items():
            assert (artifacts / name / f"{name}.png").read_bytes() == data
        page = (artifacts / "evaluation_report.html").read_text(encoding="utf-8")
        stored = EvaluationReport.model_validate_json((artifacts / "evaluation_report.json").read_text())
    assert {"feature_importance", "model_explainability_reports"} <= report.pictures.keys()
    assert stored.digest == report.digest
    assert "<h2>Robustness</h2>" in page
    (chart,) = re.findall(r"data:image/png;base64,([^\"]+)", page)
    assert base64.b64decode(chart) == report.pictures["feature_importance"]
    assert places_of(report.pictures["model_explainability_reports"])


def test_the_bills_of_materials_of_the_locks_that_are_there_are_logged(
    report: EvaluationReport, tmp_path: Path
) -> None:
    """A bill of a lock file that changed meanwhile is not that of the evaluated model."""
    import mlflow

    assert report.security is not None
    bill, text = bill_of_materials("serving/requirements.lock")
    security = report.security.model_copy(update={"bills": (bill, *report.security.bills)})
    with tracking_run(tmp_path) as run_id:
        track(report.model_copy(update={"security": security}))
        client = mlflow.MlflowClient()
        (logged,) = client.list_artifacts(run_id, "sbom")
        path = client.download_artifacts(run_id, logged.path, str(tmp_path))
    assert Path(path).name == "serving-requirements.lock.cdx.json"
    assert Path(path).read_bytes() == text


def test_without_a_run_nothing_is_logged(report: EvaluationReport) -> None:
    """A stack may track nothing."""
    import mlflow

    assert mlflow.active_run() is None
    track(report)
    assert mlflow.active_run() is None
