"""What of the traffic is looked at, and what counts as drift or as a drop."""

from __future__ import annotations

from pydantic import Field

from materializers.report import Record
from steps.monitoring.drift.settings import DriftSettings

LONGEST_HOURS = 24 * 366


class WindowSettings(Record):
    """Which part of the traffic is compared."""

    hours: float = Field(default=24.0, gt=0, le=LONGEST_HOURS)
    """Back from now, or from ``until``."""
    settling_minutes: float = Field(default=2.0, ge=0, le=24 * 60)
    """What is younger is left to the next window: it may not have been stored yet."""
    label_days: float = Field(default=7.0, gt=0, le=366)
    """Labels come late: accuracy is that of the answers of so many days, as far as a label came."""


class PerformanceSettings(Record):
    """What counts as a drop of the accuracy on labels that came."""

    floor: float = Field(default=0.80, ge=0, le=1)
    baseline_share: float = Field(default=0.95, gt=0, le=1)
    """Of the fixed baseline's accuracy."""
    reported_change: float = Field(default=0.05, gt=0, le=1)
    """A difference to the baseline, either way, that the report says."""
    minimum_labels: int = Field(default=100, ge=1)


class PrometheusSettings(Record):
    """Where latency and errors of the service are known, and what is too much of them."""

    url: str | None = Field(default=None, pattern=r"^https?://[^\s]+$")
    """Of the API, as http://127.0.0.1:9090; None: it is not asked."""
    latency_p99_ms: float = Field(default=1_000.0, gt=0)
    error_rate: float = Field(default=0.05, gt=0, le=1)
    """Of the requests: those that failed, or found no room."""


class MonitorSettings(Record):
    """How the live model is watched."""

    window: WindowSettings = WindowSettings()
    drift: DriftSettings = DriftSettings()
    performance: PerformanceSettings = PerformanceSettings()
    prometheus: PrometheusSettings = PrometheusSettings()
