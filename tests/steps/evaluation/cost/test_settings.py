"""What is asked of a replica follows from the product's numbers."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from steps.evaluation.cost.settings import PROBE_REQUESTS, CostSettings


def test_a_replica_is_offered_its_share_of_the_peak() -> None:
    """A hundred requests a second over ten replicas: ten, for as long as it is set."""
    settings = CostSettings(seconds_at_offered_rate=12)
    assert settings.offered_per_s == 10
    assert settings.offered_requests == 120


@pytest.mark.parametrize(
    "given", [{}, {"warm_up": 1, "seconds_at_offered_rate": 1.0}, {"requests": 5_000}, {"requests": 500}]
)
def test_all_phases_together_send_as_many_as_are_asked_for(given: dict[str, float]) -> None:
    """Warm-up, one after the other, one rate of the search and the offered rate: `requests` at least."""
    settings = CostSettings.model_validate(given)
    phases = (settings.warm_up, settings.closed_requests, PROBE_REQUESTS, settings.offered_requests)
    assert sum(phases) >= settings.requests


def test_the_default_is_a_thousand_requests() -> None:
    """What the gate needs at least."""
    assert CostSettings().requests == 1000


@pytest.mark.parametrize("requests", [1, 499, -1])
def test_too_few_requests_are_refused(requests: int) -> None:
    """None at all switches the measurement off; a few measure nothing."""
    assert CostSettings(requests=0).requests == 0
    with pytest.raises(ValidationError, match="requests"):
        CostSettings(requests=requests)
