"""Whether to retrain, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from materializers.report import Record, Report

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType

SignalName: TypeAlias = Literal[
    "schedule",
    "new_data",
    "data_volume",
    "freshness",
    "model_age",
    "drift",
    "performance",
    "business",
    "manual",
]
HoldName: TypeAlias = Literal["cooldown", "budget_runs", "budget_gpu_hours", "brake"]


class Signal(Record):
    """One reason to retrain: its value beside its limit, and whether it fired."""

    name: str
    value: float | None
    limit: float | None
    fired: bool
    reason: str


class Hold(Record):
    """One thing that may keep a retraining from beginning, whatever speaks for it."""

    name: HoldName
    value: float
    limit: float
    holds: bool
    reason: str
    version: int | None = None
    """Of the brake: the newest of the retrainings that came to nothing."""


class Evidence(Record):
    """The last registered version, as the decision saw it."""

    version: int
    data: str
    verdict: str
    origin: str
    age_hours: float
    released: bool
    """It is or once was live somewhere."""
    rejected: bool = False
    """A person's last decision on it was a rejection."""


class Signals(Report):
    """What was asked before a decision."""

    template: ClassVar[str] = "signals.html"

    signals: tuple[Signal, ...]
    last: Evidence | None
    holds: tuple[Hold, ...] = ()

    def headline(self) -> dict[str, MetadataType]:
        """The signals that fired, and what holds."""
        return {
            "fired": [signal.name for signal in self.signals if signal.fired],
            "held_by": [hold.name for hold in self.holds if hold.holds],
        }


class TriggerDecision(Report):
    """The decision to retrain, each signal that was asked, and what held it back."""

    template: ClassVar[str] = "trigger_decision.html"

    retrain: bool
    signals: tuple[Signal, ...]
    holds: tuple[Hold, ...] = ()
    held_by: tuple[HoldName, ...] = ()
    """What alone kept a retraining that was asked for from beginning; empty where none was asked for."""
    reasons: tuple[str, ...]
    data: str
    finish_version: int | None = None
    """A version that an interrupted run on the same data left passed but not staged."""

    def headline(self) -> dict[str, MetadataType]:
        """The decision and its reasons."""
        return {"retrain": self.retrain, "reasons": list(self.reasons)}
