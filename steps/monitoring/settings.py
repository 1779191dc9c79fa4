"""What of the traffic is looked at, and what counts as drift or as a drop."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from materializers.drift_report import Figure, ValueIs
from materializers.reaction import Policy
from materializers.redaction import secret_in
from materializers.report import Record
from materializers.web_address import WebAddress
from steps.monitoring.drift.settings import DriftSettings

LONGEST_HOURS = 24 * 366


class WindowSettings(Record):
    """Which part of the traffic is compared."""

    hours: float = Field(default=24.0, gt=0, le=LONGEST_HOURS)
    """Back from now."""
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
    rollback: Policy = "ask"
    """What follows where a drop of what is live was confirmed."""

    @field_validator("rollback", mode="before")
    @classmethod
    def _unquoted(cls, given: object) -> object:
        """YAML reads a plain ``off`` as false."""
        return "off" if given is False else given


class BusinessSettings(Record):
    """What counts as a drop of what people say that answers were worth."""

    enabled: bool = True
    figure: Figure = "value"
    """Of feedback."""
    value_is: ValueIs = "gain"
    decline: float = Field(default=0.10, gt=0, le=1)
    """Of the baseline, which the first window with enough figures sets."""
    minimum_values: int = Field(default=100, ge=2)


class ReferenceSettings(Record):
    """What a reference is made of that ``--rebase-reference`` makes, and whether one is used."""

    use: Literal["newest", "own"] = "newest"
    """``own``: the model's validation and test pictures, whatever traffic was accepted since."""
    hours: float = Field(default=7 * 24.0, gt=0, le=LONGEST_HOURS)
    """Of traffic, back from now."""
    minimum_pictures: int = Field(default=500, ge=1)
    most_pictures: int = Field(default=5000, ge=1, le=100_000)
    """Of more, so many are drawn, those first whose picture was kept."""


class PrometheusSettings(Record):
    """Where latency and errors of the service are known, and what is too much of them."""

    url: WebAddress | None = None
    """Of the API, as http://127.0.0.1:9090; None: it is not asked."""
    latency_p99_ms: float = Field(default=1_000.0, gt=0, allow_inf_nan=False)
    error_rate: float = Field(default=0.05, gt=0, le=1)
    """Of the requests: those that failed, or found no room."""

    @field_validator("url")
    @classmethod
    def _no_secret(cls, url: str | None) -> str | None:
        secret = None if url is None else secret_in(url)
        if secret is not None:
            raise ValueError(
                f"the address has {secret} in it, and whoever may look at a run could read it: have the "
                "Prometheus, or a proxy before it, let this machine ask without"
            )
        return url


class MonitorSettings(Record):
    """How the live model is watched."""

    window: WindowSettings = WindowSettings()
    drift: DriftSettings = DriftSettings()
    performance: PerformanceSettings = PerformanceSettings()
    business: BusinessSettings = BusinessSettings()
    reference: ReferenceSettings = ReferenceSettings()
    explain: Literal["always", "on alarm", "never"] = "on alarm"
    """When a run makes Evidently's page, which decides nothing."""
    prometheus: PrometheusSettings = PrometheusSettings()
