"""How sure one has to be to promote or roll back a release that rolls out, and how long that may take."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from materializers.report import Record

Undecided = Literal["roll back", "promote", "ask"]
Labels = Literal["as they come", "required", "harm only"]
LONGEST_S = 90 * 86_400
"""Three months: what takes longer is no rollout any more."""


class Margins(Record):
    """By how much a candidate may be worse than the champion.

    A candidate that is worse by more is rolled back once that is beyond doubt; one is promoted once it is
    beyond doubt that it is worse by less.
    """

    errors: float = Field(default=0.005, gt=0, lt=1)
    """More of all requests that fail (status 500 and above)."""
    rejections: float = Field(default=0.02, gt=0, lt=1)
    """More of all requests that are refused (status 400 to 499)."""
    latency: float = Field(default=0.5, gt=0, le=100)
    """Slower, relative to the champion, at the median and at the 95th percentile."""
    latency_ms: float = Field(default=1.0, ge=0, le=60_000)
    """So many milliseconds are tolerated where that is more."""
    abstention: float = Field(default=0.05, gt=0, lt=1)
    """More of all answers that abstain."""
    probability: float = Field(default=0.20, gt=0, lt=1)
    """Between the distributions of the top probability (Kolmogorov's distance)."""
    class_shares: float = Field(default=0.20, gt=0, lt=1)
    """Between the shares of the classes (total variation): as if so many answers had another class."""
    accuracy: float = Field(default=0.025, gt=0, lt=1)
    """Fewer of the labelled answers that are right."""
    value: float = Field(default=0.05, gt=0, lt=1)
    """Of the business figure's mean, relative to the champion's; in an A/B test."""


class Assumed(Record):
    """What the plan takes for granted before anything is measured; decides nothing else."""

    errors: float = Field(default=0.001, ge=0, lt=1)
    rejections: float = Field(default=0.01, ge=0, lt=1)
    abstention: float = Field(default=0.05, ge=0, lt=1)
    accuracy: float = Field(default=0.85, gt=0, le=1)
    """The least that the gate lets through."""


class ObserveSettings(Record):
    """When a candidate is promoted, rolled back, or looked at again."""

    alpha: float = Field(default=0.02, gt=0, lt=0.5)
    """How often, at most, a candidate that is worse by just what is tolerated is rolled back as worse than
    that, and how often one is promoted: over all looks, and of rolling back over all signals and stages."""
    power: float = Field(default=0.98, gt=0.5, lt=1)
    """How often a candidate that is as good is shown to be so; what is planned follows from it."""
    looks: int = Field(default=10, ge=2, le=100)
    first_look: float = Field(default=0.005, gt=0, lt=1)
    """Of the planned requests; the looks after it are the same factor apart, the last is at all of them."""
    planned_requests: int | None = Field(default=None, ge=20, le=100_000_000)
    """That the candidate answers at most before it is decided; None: what margins and power ask for."""
    minimum_requests: int = Field(default=500, ge=1, le=100_000_000)
    """That the candidate answers at least before it is promoted."""
    minimum_s: float = Field(default=300, ge=300, le=LONGEST_S)
    """A promotion takes at least so long; a rollback of what is worse does not wait."""
    maximum_s: float = Field(default=7 * 86_400, ge=300, le=LONGEST_S)
    """After so long ``undecided`` says what becomes of the candidate."""
    settling_s: float = Field(default=120, ge=0, le=86_400)
    """What is younger is not looked at yet: it may not have been stored on both sides."""
    undecided: Undecided = "roll back"
    """At the end of the plan, or of the time. What has too few requests is never promoted."""
    labels: Labels = "as they come"
    """``as they come``: once there are ``minimum_labels``, accuracy has to be shown, too. ``required``: it
    always has to be. ``harm only``: it can roll back and holds nothing up."""
    minimum_labels: int = Field(default=100, ge=1, le=100_000_000)
    """Of the candidate, and as many business figures of an A/B test."""
    value_is: Literal["gain", "cost"] = "gain"
    """Whether more of the business figure is better."""
    margins: Margins = Margins()
    assumed: Assumed = Assumed()
    expected_requests_per_day: float = Field(default=10_000, gt=0, le=1e12)
    """Of all traffic, for the days that are printed."""

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.maximum_s < self.minimum_s:
            raise ValueError(
                f"maximum_s is {self.maximum_s:g} and minimum_s {self.minimum_s:g}: nothing could be promoted"
            )
        if self.planned_requests is not None and self.minimum_requests > self.planned_requests:
            raise ValueError(
                f"minimum_requests is {self.minimum_requests} and planned_requests {self.planned_requests}: "
                "nothing could be promoted"
            )
        return self
