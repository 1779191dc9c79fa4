"""What is staged is put under load, and does not stay where it cannot stand it."""

from __future__ import annotations

from collections.abc import Callable

from tests.whole.shop import SEED_1, Shop

REFUSED = 3
UNDER_LOAD = (
    "policy.rules.latency_p99_ms.requirement=required",
    "evaluate.cost.requests=500",
    "evaluate.cost.seconds_at_offered_rate=0.5",
    "evaluate.cost.search_seconds=0.5",
    "evaluate.cost.probe_seconds=0.2",
)
TOO_MUCH = "evaluate.cost.offered_total_per_s=100000"
"""Requests a second, of which the one replica in staging is offered a tenth."""


def test_a_staged_release_is_judged_under_load(open_shop: Callable[[str], Shop]) -> None:
    """One that stands it stays; one that does not is taken out, and what was live before is again."""
    from zenml.client import Client

    shop = open_shop("under-load")
    shop.train(*UNDER_LOAD)
    first = shop.run(*UNDER_LOAD, deploy=True)
    assert first.exit_code == 0, first.said
    run = Client().get_pipeline_run(first.last["run"])
    tested = run.steps["observe"].outputs["load_test"][0].load()
    assert (tested.outcome, tested.version, tested.environment) == ("passed", 1, "staging")
    outcomes = {rule.rule: rule.outcome for rule in tested.rules}
    limits = ("latency_p99_ms", "request_errors", "throughput_per_s", "memory_mb", "cost_per_1000")
    assert outcomes.keys() == set(limits)
    assert outcomes["memory_mb"] == "passed"
    assert "requests to" in tested.page()
    served = shop.served()

    shop.train(SEED_1, *UNDER_LOAD)
    second = shop.run(*UNDER_LOAD, TOO_MUCH, deploy=True, version=2)
    assert second.exit_code == REFUSED
    assert "In staging under load: latency_p99_ms" in second.said
    assert "version 1 is live in staging again" in second.said
    assert shop.served() == served
    assert shop.aliases()["staging"] == 1
