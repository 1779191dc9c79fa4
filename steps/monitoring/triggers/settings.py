"""When to retrain, and what holds a retraining back."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, field_validator, model_validator

from materializers.report import Record
from materializers.trigger_decision import SignalName

ALL: tuple[SignalName, ...] = get_args(SignalName)


class BudgetSettings(Record):
    """What the retrainings of a calendar month, in UTC, may cost; nobody's wish goes past it."""

    runs: int = Field(default=8, ge=0)
    gpu_hours: float = Field(default=100.0, ge=0, allow_inf_nan=False)
    """Of the steps that learn: the hours that they took, times the GPUs that each is given."""


class LearningSteps(Record):
    """The steps that a budget of GPU-hours is spent on, by their names."""

    gpus: dict[str, int]
    """That each is given."""
    timeouts_s: dict[str, int] = Field(default_factory=dict)
    """Seconds after which each attempt is ended; a step without has no such limit."""


class TriggerSettings(Record):
    """When to retrain."""

    signals: tuple[SignalName, ...] = ALL
    """Those that count; the others are shown."""
    policy: Literal["any", "all", "weighted"] = "any"
    """How many of them have to fire; ``manual`` is enough by itself."""
    weights: dict[SignalName, float] = Field(default_factory=dict)
    """Of each signal for the policy ``weighted``; 1 where none is given."""
    weight_needed: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """That the signals which fired have to come to, for the policy ``weighted``."""
    scheduled: bool = False
    """The schedule that starts the run asks for a retraining."""
    new_rows: int = Field(default=10_000, ge=0)
    """New or relabelled pictures since the last registered version."""
    new_share: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """The same as a share of the pictures that it learnt from; None: not asked."""
    newer_days: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """By how much the newest picture is newer than the newest one that it learnt from; None: not asked."""
    max_age_days: float = Field(default=30.0, ge=0, le=36_600)
    """Age of the last registered version."""
    alarm_days: float = Field(default=60.0, gt=0, le=366)
    """Alarms of monitoring on windows that ended longer ago are history."""
    alarm_retrainings: int = Field(default=2, ge=1)
    """How often alarms in a row retrain before they end, or a person looks."""
    alarm_wait_days: float = Field(default=7.0, ge=0, le=36_600)
    """Between two retrainings for the same alarms: labelled pictures of the new kind have to come first."""
    manual: bool = False
    """A person asks for a retraining, whatever the other signals say."""
    cooldown_hours: float = Field(default=24.0, ge=0, le=24 * 36_600)
    """No retraining sooner than this after the last one, unless a person asks."""
    budget: BudgetSettings = BudgetSettings()
    brake_after: int = Field(default=3, ge=1)
    """So many retrainings in a row that were refused or no better: then a person is asked first."""

    @field_validator("signals")
    @classmethod
    def _distinct(cls, signals: tuple[SignalName, ...]) -> tuple[SignalName, ...]:
        if not signals:
            raise ValueError("nothing would ever retrain: name a signal")
        return tuple(dict.fromkeys(signals))

    @field_validator("weights")
    @classmethod
    def _not_negative(cls, weights: dict[SignalName, float]) -> dict[SignalName, float]:
        for name, weight in weights.items():
            if not 0 <= weight < float("inf"):
                raise ValueError(f"the weight of {name} is {weight:g}, it has to be a number of 0 or more")
        return weights

    @model_validator(mode="after")
    def _reachable(self) -> TriggerSettings:
        most = sum(self.weight(name) for name in self.signals)
        if self.policy == "weighted" and most < self.weight_needed:
            raise ValueError(
                f"nothing would ever retrain: all weights together are {most:g}, below weight_needed, "
                f"{self.weight_needed:g}"
            )
        return self

    def weight(self, name: SignalName) -> float:
        """Of a signal, for the policy ``weighted``."""
        return self.weights.get(name, 1.0)
