"""How a release reaches each environment."""

from __future__ import annotations

import itertools
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from materializers.release import Environment, Mode, Release
from materializers.report import Record
from steps.deployment.observing.settings import ObserveSettings

PERCENT = 100
ROUNDING = 1e-9
"""What a number like 0.07 is off by when it is multiplied."""


def percent_of(share: float) -> int:
    """A share in percent, to the nearest whole one: in those a cluster divides traffic, and tells shares."""
    return round(share * PERCENT)


def _whole_percent(share: float) -> float:
    if abs(share * PERCENT - percent_of(share)) > ROUNDING:
        nearest = min(max(percent_of(share), 1), PERCENT - 1) / PERCENT
        raise ValueError(
            f"{share:g} is {share * PERCENT:g} percent, and traffic is divided in whole ones: write "
            f"{nearest:g}, or another whole percent from 0.01 to 0.99"
        )
    return share


Share = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False), AfterValidator(_whole_percent)]
"""Of the traffic, in whole percents: none and all of it are no share that a candidate and a champion could be
compared at."""
MOST_HOURS = 8_760
"""A year: a test that is older than that tells nothing of what is there now."""


class EnvironmentSettings(Record):
    """How a release reaches one environment."""

    mode: Mode
    stages: tuple[Share, ...] = Field(default=(0.10,), min_length=1, max_length=20)
    """The shares of the traffic that a canary goes through before it gets all of it."""
    ab_share: Share = 0.20
    """Of the request keys, for the candidate of an A/B test."""

    @field_validator("stages")
    @classmethod
    def _ascending(cls, stages: tuple[float, ...]) -> tuple[float, ...]:
        if any(after <= before for before, after in itertools.pairwise(stages)):
            raise ValueError("each stage has to be a larger share than the one before it, as in [0.1, 0.5]")
        return stages

    def first_share(self) -> float:
        """What the candidate answers at first."""
        return {"full": 1.0, "shadow": 0.0, "ab": self.ab_share, "canary": self.stages[0]}[self.mode]

    def next_share(self, rolling: Release) -> float:
        """What a candidate answers after its present share: the next larger stage of a canary, else all."""
        if rolling.mode != "canary":
            return 1.0
        now = percent_of(rolling.share)
        return next((share for share in self.stages if percent_of(share) > now), 1.0)


class DeploymentSettings(Record):
    """How releases reach their environments, and what production asks for beside an approval."""

    staging: EnvironmentSettings = EnvironmentSettings(mode="full")
    production: EnvironmentSettings = EnvironmentSettings(mode="canary")
    end_to_end_hours: float = Field(default=24, gt=0, le=MOST_HOURS, allow_inf_nan=False)
    """How old the end-to-end test of a version in staging may be when it goes to production."""
    look_every_minutes: int = Field(default=5, ge=1, le=59)
    """How often the schedule of a rollout looks at it."""
    wait_seconds: float = Field(default=30, ge=0.1, le=3600, allow_inf_nan=False)
    """How often ``--wait`` does."""
    observe: ObserveSettings = ObserveSettings()
    """When a candidate that serves beside the champion is promoted or rolled back."""

    def of(self, environment: Environment) -> EnvironmentSettings:
        """The settings of one environment."""
        return self.staging if environment == "staging" else self.production
