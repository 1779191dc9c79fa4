"""How a candidate compares with the champion while it rolls out, and what should become of it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from materializers.release import Environment, Mode
from materializers.report import Record, Report

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType

Answer: TypeAlias = Literal["continue", "promote", "roll back", "ask"]
Because: TypeAlias = Literal["not decided yet", "shown", "harm", "undecided", "insufficient data"]
Clock: TypeAlias = Literal["requests", "labels", "values"]
"""What of the candidate is counted until the next look."""
SignalName: TypeAlias = Literal[
    "errors", "rejections", "latency", "abstention", "scores", "accuracy", "value"
]
Unit: TypeAlias = Literal["share", "ratio", "distance", "mean"]


class Compared(Record):
    """One figure of champion and candidate at one look."""

    signal: SignalName
    figure: str
    """Of the signal, such as its 95th percentile."""
    unit: Unit
    """``share``: of requests; ``ratio``: the candidate's over the champion's, less 1; ``distance``: of two
    distributions; ``mean``."""
    champion: float | None
    """None where there is nothing to compute it of; of a distance there is no figure of one alone."""
    candidate: float | None
    n_champion: int
    n_candidate: int
    worse: float | None
    """By how much the candidate is worse; what is better is negative."""
    low: float | None = None
    """Unless it is worse by more than that, the test of harm does not answer."""
    high: float | None = None
    """It is worse by no more than that, as the test of the promotion has it."""
    margin: float
    """By how much it may be worse."""
    harmful: bool
    """It is worse by more than the margin beyond doubt."""
    shown: bool
    """It is worse by less than the margin beyond doubt."""
    lacking: str | None = None
    """What there is too little of to say either."""


class Look(Record):
    """One look at what there was at one moment; which moments those are was fixed beforehand."""

    clock: Clock
    number: int
    """From 1; one more than the plan has is the look at the deadline."""
    at: datetime
    n_candidate: int
    """Requests, labels or business figures of the candidate."""
    n_champion: int
    harm_level: float
    """Of the test of harm of each figure at this look."""
    level: float
    """Of the test of the promotion."""
    compared: tuple[Compared, ...]


class Need(Record):
    """How many requests of the candidate it takes to show that one as good is as good in one figure."""

    signal: SignalName
    figure: str
    requests: int


class Plan(Record):
    """What was fixed before the first request."""

    alpha: float
    power: float
    planned_requests: int
    """Of the candidate at most."""
    minimum_requests: int
    share: float
    days: float
    """For all of it, at the traffic that is expected."""
    expected_requests_per_day: float
    looks: tuple[int, ...]
    """At how many requests, and likewise labels, of the candidate."""
    needs: tuple[Need, ...]
    figures: int
    """Between which and over ``stages`` the error rate of rolling back is divided."""
    stages: int
    undecided: Literal["roll back", "promote", "ask"]


class Observation(Report):
    """What should become of a release that rolls out, and each look that says so."""

    template: ClassVar[str] = "observation.html"

    model_name: str
    environment: Environment
    mode: Mode
    stage: int
    share: float
    candidate: int | None
    """The version."""
    champion: int | None
    begin: datetime
    deadline: datetime
    seen_until: datetime
    answer: Answer
    because: Because
    decided_at: datetime | None
    requests_candidate: int
    requests_champion: int
    reasons: tuple[str, ...]
    missing: tuple[str, ...]
    """What there is too little of, in words."""
    plan: Plan
    looks: tuple[Look, ...] = ()

    @property
    def latest(self) -> tuple[Compared, ...]:
        """Each figure as it was at the last look at it."""
        last = {(each.signal, each.figure): each for look in self.looks for each in look.compared}
        return tuple(last.values())

    def headline(self) -> dict[str, MetadataType]:
        """The answer, why, and on how many requests."""
        return {
            "answer": self.answer,
            "because": self.because,
            "requests": self.requests_candidate,
            "reasons": list(self.reasons),
        }
