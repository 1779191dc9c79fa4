"""What is asked of a replica, and what one costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import Field, field_validator

from materializers.report import Record

if TYPE_CHECKING:
    from steps.evaluation.policy import Policy

PROBE_REQUESTS = 400
"""Of one rate of the search: more than the 368 without which a 99th percentile has no upper bound."""
FEWEST_REQUESTS = 500
"""In all: fewer would leave none to be sent one after the other, by which the first rate is chosen."""
FEWEST_CLOSED = 100
"""Of them."""
OF_THE_POLICY = {"offered_total_per_s": "throughput_per_s", "p99_limit_ms": "latency_p99_ms"}
"""Settings that are limits of the policy, too → the metric of the rule."""


class CostSettings(Record):
    """How much one replica is asked, and the product's numbers that its answers are set against.

    A model that answers r requests a second is measured for about ``requests`` / r seconds, and for
    ``search_seconds`` and ``seconds_at_offered_rate`` at least.
    """

    requests: int = Field(default=1000, ge=0, le=1_000_000)
    """How many are sent in all, at least; 0: nothing is measured, else 500 or more."""
    warm_up: int = Field(default=50, ge=1, le=100_000)
    """Of them, those before anything is timed."""
    pictures: int = Field(default=200, ge=1, le=10_000)
    """Test pictures that are sent, again and again, as they are stored."""
    offered_total_per_s: float = Field(default=100.0, gt=0, le=1e6, allow_inf_nan=False)
    """The product's peak, requests a second; a replica is offered its share of it. Where it is not set, it is
    the limit of the policy's rule on ``throughput_per_s``."""
    maximum_replicas: int = Field(default=10, ge=1, le=10_000)
    """That production scales to. Where the stack's deployer scales, its own numbers count."""
    minimum_replicas: int = Field(default=2, ge=1, le=10_000)
    """That production always runs, and pays; the same."""
    predictions_per_day: int = Field(default=10_000, ge=1)
    price_per_hour: float = Field(default=0.10, ge=0, allow_inf_nan=False)
    """Of one replica, dollars. The default is about what clouds list for 2 virtual CPUs with 4 GB on demand
    (AWS Fargate, us-east-1, 2025: 2 × 0.04048 + 4 × 0.004445 = 0.0987); set your own."""
    p99_limit_ms: float = Field(default=500.0, gt=0, le=10_000, allow_inf_nan=False)
    """Within which the 99th percentile stays at a rate that is sustained. Where it is not set, it is the
    limit of the policy's rule on ``latency_p99_ms``."""
    seconds_at_offered_rate: float = Field(default=12.0, gt=0, le=3600, allow_inf_nan=False)
    search_seconds: float = Field(default=6.0, gt=0, le=3600, allow_inf_nan=False)
    """For the highest rate; what is tried when they are over is still finished, and three rates always are
    where none holds."""
    probe_seconds: float = Field(default=1.0, gt=0, le=3600, allow_inf_nan=False)
    """For one rate of the search, at least, and 400 requests."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of the choice of pictures and of the moments at which they are sent."""
    start_timeout_s: float = Field(default=60.0, gt=0, le=3600, allow_inf_nan=False)
    """Within which the replica is ready."""
    serving_python: str | None = None
    """The Python of the serving environment, relative to the project. None: what the environment variable
    ``SHUTTERLINE_SERVING_PYTHON`` names, as an image sets it, or that of ``.venv-serving``."""

    @field_validator("requests")
    @classmethod
    def _none_or_enough(cls, requests: int) -> int:
        if 0 < requests < FEWEST_REQUESTS:
            raise ValueError(f"must be 0, for nothing, or {FEWEST_REQUESTS} or more")
        return requests

    def under(self, policy: Policy) -> Self:
        """These settings with the numbers that the policy has, where they are not set to others.

        Raises:
            ValidationError: a limit of the policy is a number that nobody can measure by.
        """
        rules = sorted(policy.rules.values(), key=lambda rule: rule.requirement == "required")
        limits = {rule.metric: rule.limit for rule in rules}  # what is required comes last, and counts
        taken = {
            name: limits[metric]
            for name, metric in OF_THE_POLICY.items()
            if metric in limits and name not in self.model_fields_set
        }
        return self.model_validate(self.model_dump(exclude_unset=True) | taken)

    def scaled(self, scaling: tuple[int, int] | None) -> Self:
        """These settings with the least and the most replicas that a deployer gives production, if any."""
        if scaling is None:
            return self
        return self.model_copy(update={"minimum_replicas": scaling[0], "maximum_replicas": scaling[1]})

    @property
    def offered_per_s(self) -> float:
        """What one replica gets of the peak."""
        return self.offered_total_per_s / self.maximum_replicas

    @property
    def offered_requests(self) -> int:
        """How many are sent at that rate."""
        return max(1, round(self.offered_per_s * self.seconds_at_offered_rate))

    @property
    def closed_requests(self) -> int:
        """How many are sent one after the other, so that there are ``requests`` in all."""
        others = self.warm_up + PROBE_REQUESTS + self.offered_requests
        return max(FEWEST_CLOSED, self.requests - others)
