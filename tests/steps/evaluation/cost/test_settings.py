"""What is asked of a replica follows from the product's numbers."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from materializers.errors import UsageError
from pipelines.config import load_config
from steps.evaluation.cost.settings import PROBE_REQUESTS, CostSettings
from steps.evaluation.policy import Policy
from tests.steps.evaluation.policies import product_policy


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


def policy(**limits: float) -> Policy:
    """The product's policy with other limits."""
    rules = dict(product_policy().rules)
    for name, limit in limits.items():
        rules[name] = rules[name].model_copy(update={"limit": limit})
    return product_policy().model_copy(update={"rules": rules})


def test_a_limit_of_the_policy_is_what_is_measured_by() -> None:
    """It stands once: another peak or another latency in the policy is another one here."""
    product = CostSettings().under(product_policy())
    assert (product.offered_total_per_s, product.p99_limit_ms) == (100, 500)
    other = CostSettings(requests=500).under(policy(throughput_per_s=300.0, latency_p99_ms=50.0))
    assert (other.offered_per_s, other.p99_limit_ms, other.requests) == (30, 50, 500)


def test_a_number_that_is_set_is_measured_by() -> None:
    """Whatever the policy's is, and also where it is the default."""
    given = CostSettings(offered_total_per_s=100.0).under(policy(throughput_per_s=300.0))
    assert given.offered_total_per_s == 100


def test_of_two_rules_on_one_metric_the_required_one_counts() -> None:
    """A goal that only advises is no limit."""
    goal = (
        product_policy().rules["latency_p99_ms"].model_copy(update={"limit": 20.0, "requirement": "advisory"})
    )
    both = product_policy().model_copy(update={"rules": {**product_policy().rules, "goal": goal}})
    assert CostSettings().under(both).p99_limit_ms == 500


def test_a_limit_that_nobody_can_offer_is_refused() -> None:
    """With the setting, the metric and the number, in one line, before anything is started."""
    said = r"cost\.offered_total_per_s, .* limit of the policy's rule on throughput_per_s .* 1000000000"
    with pytest.raises(UsageError, match=said):
        load_config(None, ("policy.rules.throughput_per_s.limit=1000000000.0",))
    config = load_config(None, ("policy.rules.latency_p99_ms.limit=80.0",))
    assert config.evaluate.cost.p99_limit_ms == 80


def test_the_replicas_are_those_that_the_deployer_gives_production() -> None:
    """Where it scales; otherwise those that are set."""
    assert CostSettings().scaled(None).maximum_replicas == 10
    scaled = CostSettings().scaled((3, 4))
    assert (scaled.minimum_replicas, scaled.maximum_replicas, scaled.offered_per_s) == (3, 4, 25)
