"""Monitoring: what the live model is asked and answers, beside what it was judged on."""

from __future__ import annotations

from zenml import pipeline

from materializers.release import Environment
from steps.monitoring.assess import assess
from steps.monitoring.explain import explain
from steps.monitoring.react import react
from steps.monitoring.settings import MonitorSettings
from steps.monitoring.tell import tell
from steps.monitoring.traffic.window import window


@pipeline(name="monitoring")
def monitoring(model_name: str, environment: Environment, settings: MonitorSettings) -> None:
    """Compare a window of captured traffic with the reference, tell people of an alarm, and explain it.

    Where the accuracy of what is live dropped for the second time in a row, what the policy says follows.
    """
    captured = window(model_name=model_name, environment=environment, settings=settings)
    report = assess(captured, settings=settings.drift)
    tell(report)
    react(report, settings=settings.performance)
    explain(captured, report, settings=settings)
