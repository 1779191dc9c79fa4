"""What is staged is judged again by the rules of serving, on what really answers."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from zenml.client import Client

from materializers.errors import Refused
from materializers.load_test import LoadTest
from materializers.release import Release
from materializers.splits import Splits
from steps.deployment.load_test import put_under_load
from steps.evaluation.cost.settings import CostSettings
from steps.evaluation.policy import Policy, Rule
from tests.materializers.examples import arm, release
from tests.steps.deployment.staged import staged_release
from tests.steps.evaluation.cost.servers import service
from tests.steps.evaluation.policies import product_policy
from tests.steps.evaluation.registered import Made, register_trained
from tests.steps.training.examples import dataset, splits, trained

QUICK = CostSettings(
    requests=500, warm_up=10, seconds_at_offered_rate=1.0, search_seconds=0.1, probe_seconds=0.1
)
NAME = "put-under-load"


@pytest.fixture(scope="module")
def staged(local_stack: Client, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """A release of a registered version whose test pictures are stored; nothing answers for it yet."""
    return staged_release(NAME, tmp_path_factory.mktemp("model"))


def under_load(
    staged: Release, url: str, policy: Policy, settings: CostSettings = QUICK, tries: int = 5
) -> LoadTest:
    """The load test of what answers at this URL; again where a busy machine sent too late to judge by."""
    for _ in range(tries):
        report = put_under_load(staged.model_copy(update={"url": url}), policy, settings)
        if report is None or report.outcome != "not_assessed":
            break
    assert report is not None
    return report


def test_a_release_that_answers_in_time_passes_the_rules_of_serving(staged: Release) -> None:
    """Its own test pictures are sent; the report names model, environment, URL and each rule."""
    with service(resident=400_000_000) as url:
        report = under_load(staged, url, product_policy())
    assert staged.candidate is not None
    assert (report.outcome, report.version, report.model) == ("passed", 1, staged.candidate.model_digest)
    assert (report.environment, report.url) == ("staging", url)
    assert {rule.rule: rule.outcome for rule in report.rules if rule.requirement == "required"} == {
        "latency_p99_ms": "passed",
        "request_errors": "passed",
        "throughput_per_s": "passed",
        "memory_mb": "passed",
        "cost_per_1000": "passed",
    }
    assert report.cost.requests >= QUICK.requests
    assert report.pictures


def test_a_release_that_stalls_is_refused_with_the_number(staged: Release) -> None:
    """0.3 s at every thirtieth request are beyond a limit of 100 ms."""
    answering = threading.Lock()

    def stall(number: int) -> None:
        with answering:
            time.sleep(0.3 if number % 30 == 0 else 0)

    rules = product_policy().rules
    strict = Policy(rules={"latency_p99_ms": rules["latency_p99_ms"].model_copy(update={"limit": 100.0})})
    offered = QUICK.model_copy(update={"offered_total_per_s": 400.0})
    with service(stall) as url:
        report = under_load(staged, url, strict, offered)
    assert report.outcome == "refused"
    (reason,) = report.reasons()
    assert reason.startswith("latency_p99_ms: ")
    assert reason.endswith("limit <= 100")


def test_a_release_that_takes_too_much_memory_is_refused(staged: Release) -> None:
    """By what it says of itself under load; how fast it answers beside other work is not asked here."""
    memory = Policy(rules={"memory_mb": product_policy().rules["memory_mb"]})
    with service(resident=3_000_000_000) as url:
        report = under_load(staged, url, memory)
    assert report.outcome == "refused"
    assert report.reasons() == ["memory_mb: 3000, limit <= 2048"]


def test_what_an_address_does_not_show_is_listed_and_decides_nothing(staged: Release) -> None:
    """The gate judged it on a replica of the same model, and the reason says so."""
    start_up = Rule(metric="start_up_s", requirement="required", limit=10.0)
    with service() as url:
        report = under_load(staged, url, Policy(rules={**product_policy().rules, "start_up_s": start_up}))
    listed = {rule.rule: rule for rule in report.rules if rule.requirement == "advisory"}
    assert report.outcome == "passed"
    assert set(listed) == {"memory_mb", "start_up_s"}
    for rule in listed.values():
        assert rule.outcome == "not_assessed"
        assert "the gate judged it on a replica of this model" in (rule.reason or "")


def test_a_release_that_fails_is_refused(staged: Release) -> None:
    """Every fifth request: errors are above none, and no rate is sustained."""
    with service(status=lambda number: 503 if number % 5 == 0 else 200) as url:
        report = under_load(staged, url, product_policy())
    assert report.outcome == "refused"
    found = {rule.rule: rule.outcome for rule in report.rules}
    assert found["request_errors"] == "refused"
    assert found["throughput_per_s"] == found["cost_per_1000"] == "not_assessed"


def test_a_release_where_nobody_answers_does_not_pass(staged: Release) -> None:
    """What cannot be measured is not assessed, which refuses where it is required."""
    report = under_load(staged, "http://127.0.0.1:1/api/v1.0/predictions", product_policy(), tries=1)
    assert report.outcome == "not_assessed"
    assert all(rule.outcome == "not_assessed" for rule in report.rules)


def test_advice_alone_takes_nothing_out(staged: Release) -> None:
    """A policy whose rules of serving advise has them shown."""
    rules = product_policy().rules
    slow = rules["latency_p99_ms"].model_copy(update={"limit": 0.0, "requirement": "advisory"})
    with service() as url:
        report = under_load(
            staged, url, Policy(rules={"latency_p99_ms": slow, "accuracy": rules["accuracy"]})
        )
    assert [(rule.rule, rule.outcome) for rule in report.rules] == [("latency_p99_ms", "refused")]
    assert report.outcome == "passed"


def test_nothing_is_sent_where_nothing_is_asked(staged: Release) -> None:
    """Without requests, or without a rule of serving."""
    no_rule = Policy(rules={"accuracy": product_policy().rules["accuracy"]})
    assert put_under_load(staged, product_policy(), CostSettings(requests=0)) is None
    assert put_under_load(staged, no_rule, QUICK) is None


def test_a_version_whose_test_pictures_are_gone_is_refused(local_stack: Client, tmp_path: Path) -> None:
    """It cannot be asked about its own pictures; the command that mends it is named."""
    pictures = dataset()
    whole = splits(pictures)
    untested = Splits(members=whole.members[whole.members["split"] != "test"])
    made = Made(trained(tmp_path, epochs=1), pictures, untested)
    entry = register_trained("without-test-pictures", made)
    staged = release(
        model_name="without-test-pictures", environment="staging", candidate=arm(entry.version), champion=None
    )
    with pytest.raises(Refused, match=r"no test picture left to be asked about: .*--train"):
        put_under_load(staged, product_policy(), QUICK)
