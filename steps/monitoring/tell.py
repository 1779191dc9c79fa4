"""Leave the figures of a window in the experiment tracker, and tell people of an alarm."""

from __future__ import annotations

import logging

from zenml import step

from materializers.drift_report import DriftReport
from materializers.errors import ServiceUnreachable
from steps.monitoring.alert import post, raise_alert
from steps.monitoring.prometheus import service_alerts, service_figures
from steps.tracker import log_metrics, require_run, tracker_errors

logger = logging.getLogger("shutterline.monitoring")


def tracked_figures(report: DriftReport) -> dict[str, float]:
    """What the experiment tracker keeps of a window, by name."""
    figures: dict[str, float | None] = {
        "num_predictions": float(report.captured.pictures),
        "drift_share": report.drift_share,
        "current_accuracy": report.performance.accuracy.value,
        "label_coverage": report.performance.coverage,
        **service_figures(report.captured),
    }
    return {name: value for name, value in figures.items() if value is not None}


def alarm_message(report: DriftReport) -> str | None:
    """What people are told; None where there is no alarm.

    It names the alerts by the names that they are routed by.
    """
    names = {
        "data_drift_detected": report.outcome == "drift",
        "model_accuracy_drop": report.performance.outcome == "drop",
    }
    fired = [name for name, true in names.items() if true]
    if not fired:
        return None
    about = report.captured
    head = (
        f"{', '.join(fired)}: {about.model_name} version {about.version} in {about.environment}, "
        f"{about.since:%Y-%m-%d %H:%M} to {about.until:%Y-%m-%d %H:%M} UTC, {about.pictures:,} pictures"
    )
    return "\n".join([head, *report.reasons])


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
    """Log the figures, and post a message by the active stack's alerter where there is an alarm.

    What the alerter does not take is in the log; nothing is raised for it.
    """
    for note in report.captured.notes:
        logger.warning("%s", note)
    _track(tracked_figures(report))
    message = alarm_message(report)
    if message is not None:
        post(message)
    for alert in service_alerts(report.captured):
        raise_alert(alert)
