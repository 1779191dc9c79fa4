"""Leave the figures of a window in the experiment tracker, and tell people of an alarm."""

from __future__ import annotations

import logging

from zenml import step

from materializers.alert import Alert, Severity
from materializers.drift_report import DriftReport
from materializers.errors import ServiceUnreachable
from steps.monitoring.alerts.alert import clear_alert, raise_alert
from steps.monitoring.history import declined, drifted, dropped
from steps.monitoring.traffic.prometheus import service_alarms, service_alerts, service_figures
from steps.tracker import log_metrics, require_run, tracker_errors

DRIFT, DROP, DECLINE = "data_drift_detected", "model_accuracy_drop", "business_figure_drop"
SEVERITY: dict[str, Severity] = {DRIFT: "warning", DROP: "critical", DECLINE: "warning"}

logger = logging.getLogger("shutterline.monitoring")


def tracked_figures(report: DriftReport) -> dict[str, float]:
    """What the experiment tracker keeps of a window, by name."""
    figures: dict[str, float | None] = {
        "num_predictions": float(report.captured.pictures),
        "drift_share": report.drift_share,
        "current_accuracy": report.performance.accuracy.value,
        "label_coverage": report.performance.coverage,
        "business_figure": report.business.mean.value if report.business is not None else None,
        **service_figures(report.captured),
    }
    return {name: value for name, value in figures.items() if value is not None}


def alarms(report: DriftReport) -> dict[str, bool | None]:
    """Which alerts a window raises and which it ends, by name; None where nothing can be said."""
    return {DRIFT: drifted(report), DROP: dropped(report), DECLINE: declined(report)}


def alert_of(name: str, report: DriftReport) -> Alert:
    """What people are told of a window, under the name that it is routed by."""
    business, said = report.business, report.reasons
    if name == DROP:
        said = report.performance.reasons
    elif name == DECLINE and business is not None:
        said = business.reasons
    return Alert(
        name=name,
        severity=SEVERITY[name],
        model_name=report.captured.model_name,
        environment=report.captured.environment,
        reasons=(f"{_window(report)}:", *said),
    )


def window_alerts(report: DriftReport) -> list[Alert]:
    """What people are told of a window, an alert each."""
    return [alert_of(name, report) for name, raised in alarms(report).items() if raised]


def _window(report: DriftReport) -> str:
    return f"{report.captured.model_name} {report.captured.sentence}"


def _track(figures: dict[str, float]) -> None:
    """Log figures to the step's run; a tracker that is lost stops nobody from being told."""
    act = "log the figures of this window"
    try:
        if require_run(act) is not None:
            with tracker_errors(act):
                log_metrics((name, value, 0) for name, value in figures.items())
    except ServiceUnreachable as error:
        logger.warning("%s", error)


@step(enable_cache=False, experiment_tracker=True)
def tell(report: DriftReport) -> None:
    """Log the figures, tell people of an alarm, and that it is over once a window without it could be judged.

    What the alerter does not take is in the log; nothing is raised for it.
    """
    for note in report.captured.notes:
        logger.warning("%s", note)
    _track(tracked_figures(report))
    about = report.captured
    for alert in (*window_alerts(report), *service_alerts(about)):
        raise_alert(alert)
    for name, raised in (alarms(report) | service_alarms(about)).items():
        if raised is False:
            clear_alert(name, about.model_name, about.environment, reason=f"Not so in {_window(report)}.")
