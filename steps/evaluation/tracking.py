"""What an evaluation leaves in the experiment tracker: every measured number, pictures, report and page.

All of it is made from the stored report alone, so that ``register`` sends the same when the tracker was lost
while the model was evaluated.
"""

from __future__ import annotations

import math
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from materializers.picture_sheet import places_of
from materializers.report import render_page
from steps.tracker import log_metrics

if TYPE_CHECKING:
    from materializers.evaluation_report import EvaluationReport

NOT_IN_A_METRIC_NAME = re.compile(r"[^\w.\- ]")
"""What MLflow refuses in the name of a metric."""
LONGEST_METRIC_NAME = 250
"""Characters that MLflow takes."""
EVALUATION_TAG = "evaluation_sent"
"""Of a run that has a whole evaluation: the report's digest. Written last."""


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

    if mlflow.active_run() is None:
        return
    log_metrics((name, value, 0) for name, value in tracked_metrics(report).items())
    with tempfile.TemporaryDirectory(prefix="shutterline-evaluation-") as folder:
        _write_artifacts(report, Path(folder))
        mlflow.log_artifacts(folder)
    mlflow.set_tag(EVALUATION_TAG, report.digest)
