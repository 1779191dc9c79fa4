"""What counts as drift, and of how many pictures it can be said."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from materializers.report import Record


class FixedThresholds(Record):
    """Thresholds that know nothing of the number of pictures; they are shown beside the calibrated ones."""

    data_drift: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    """Population stability index of a picture statistic at which people are told."""
    data_drift_retrain: float = Field(default=0.25, gt=0, allow_inf_nan=False)
    """And at which one trains again."""
    prediction_drift: float = Field(default=0.05, gt=0, allow_inf_nan=False)
    """Kullback-Leibler divergence of the shares of the predicted classes."""

    @model_validator(mode="after")
    def _ordered(self) -> FixedThresholds:
        if self.data_drift_retrain < self.data_drift:
            raise ValueError(
                f"data_drift_retrain is {self.data_drift_retrain:g}, below data_drift, {self.data_drift:g}: "
                "one would train again without having been told"
            )
        return self


class DriftSettings(Record):
    """How a window of traffic is compared with the reference."""

    decided_by: Literal["calibrated", "fixed"] = "calibrated"
    """Which thresholds raise an alarm."""
    false_alarms: float = Field(default=0.025, gt=0, le=0.2)
    """How often at most any signal is to be taken for drift where nothing differs."""
    permutations: int = Field(default=1000, ge=1000, le=100_000)
    minimum_pictures: int = Field(default=100, ge=50)
    """Of a window, and of a reference; of fewer, nothing is said."""
    most_pictures: int = Field(default=10_000, ge=100, le=100_000)
    """That are compared of either; of more, so many are drawn."""
    fixed: FixedThresholds = FixedThresholds()
