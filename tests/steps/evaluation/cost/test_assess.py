"""The cost of a model is that of the process that really serves it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from materializers.classifier import Classifier
from materializers.evaluation.cost import Cost
from materializers.evaluation.metric import Metric
from serving.predictor import Predictor
from serving.synthetic import HEADER, is_synthetic
from steps.evaluation.cost.assess import COST, assess_cost, measure_service
from steps.evaluation.cost.replica import PYTHON_VARIABLE
from steps.evaluation.cost.settings import CostSettings
from steps.evaluation.examined import Examined
from steps.evaluation.metrics import UNUSABLE
from tests.materializers import examples
from tests.stacks.local_deployer.conftest import write_model
from tests.steps.evaluation.cost.servers import service
from tests.steps.evaluation.cost.test_replica import left_of

PICTURES = [examples.png(number) for number in range(10)]
QUICK = CostSettings(
    requests=500, warm_up=10, seconds_at_offered_rate=1.0, search_seconds=0.1, probe_seconds=0.1
)


@pytest.fixture(scope="module")
def examined(tmp_path_factory: pytest.TempPathFactory) -> Examined:
    """A network that looks at the mean colour, and twenty pictures that it answered."""
    made = examples.classifier(tmp_path_factory.mktemp("model") / "classifier")
    for file in made.serving_directory.iterdir():
        file.unlink()
    made.serving_directory.rmdir()
    digest = write_model(made.serving_directory, 1)
    classifier = Classifier(made.directory, made.record.model_copy(update={"model_digest": digest}))
    dataset = examples.dataset(*range(20))
    return Examined(
        classifier=classifier,
        predictor=Predictor.load(classifier.serving_directory),
        dataset=dataset,
        image_ids=tuple(sorted(dataset.index["image_id"])),
        true=np.zeros(20, dtype=np.int64),
        predicted=np.zeros(20, dtype=np.int64),
        probabilities=np.tile([1.0, 0.0], (20, 1)),
    )


@pytest.fixture(scope="module")
def assessed(examined: Examined) -> tuple[Cost, dict[str, bytes]]:
    """Its cost."""
    return assess_cost(examined, QUICK)


def value(metric: Metric | None) -> float:
    """What was measured."""
    assert metric is not None
    assert metric.value is not None
    return metric.value


def test_every_number_is_measured_on_the_replica(assessed: tuple[Cost, dict[str, bytes]]) -> None:
    """Everything that a policy may have a rule on has a value and the number of rows behind it."""
    cost, pictures = assessed
    assert cost.not_assessed is None
    assert cost.requests >= QUICK.requests
    for measured in cost.measured():
        assert measured.reason is None, measured
        assert measured.value is not None
        assert measured.value.n > 0
    assert value(cost.request_errors) == 0
    assert 0 < value(cost.latency_p50_ms) <= value(cost.latency_p99_ms)
    assert 30 < value(cost.memory_mb) < 1000
    assert 0.1 < value(cost.start_up_s) < 60
    assert pictures[COST].startswith(b"\x89PNG")
    assert len(pictures[COST]) < 150_000


def test_the_offered_rate_and_its_percentile_state_what_they_rest_on(
    assessed: tuple[Cost, dict[str, bytes]],
) -> None:
    """Ten requests in a second: no upper bound. Four hundred at the highest rate have one."""
    cost, _ = assessed
    assert cost.offered_per_s == 10
    assert cost.latency_p99_ms is not None
    assert (cost.latency_p99_ms.n, cost.latency_p99_ms.high) == (10, None)
    assert cost.sustained_p99_ms is not None
    assert cost.sustained_p99_ms.n == 400
    assert cost.sustained_p99_ms.high is not None


def test_throughput_is_a_replicas_rate_times_the_most_replicas(
    assessed: tuple[Cost, dict[str, bytes]],
) -> None:
    """The rate held and was tried; what failed is above it."""
    cost, _ = assessed
    rate = value(cost.sustained_per_s)
    assert value(cost.throughput_per_s) == pytest.approx(10 * rate)
    assert rate in {probe.rate_per_s for probe in cost.tried if probe.held}
    assert value(cost.sustained_p99_ms) <= QUICK.p99_limit_ms
    assert cost.highest_per_s is not None
    assert rate < cost.highest_per_s


def test_the_price_is_that_of_replicas_that_run_all_day(assessed: tuple[Cost, dict[str, bytes]]) -> None:
    """Two replicas at ten cents for a day, over ten thousand predictions; a busy one costs far less."""
    cost, _ = assessed
    assert cost.replicas == 2
    assert value(cost.cost_per_1000) == pytest.approx(2 * 24 * 0.10 / 10)
    busy = 0.10 / (3600 * value(cost.sustained_per_s)) * 1000
    assert cost.cost_per_1000_busy == pytest.approx(busy)
    assert busy < value(cost.cost_per_1000)


def test_the_model_is_as_large_as_its_directory(
    examined: Examined, assessed: tuple[Cost, dict[str, bytes]]
) -> None:
    """Both files."""
    files = list(examined.classifier.serving_directory.iterdir())
    size = sum(file.stat().st_size for file in files)
    assert assessed[0].model_mb == Metric(value=size / 1e6, n=2)


def test_the_machines_noise_is_stated(assessed: tuple[Cost, dict[str, bytes]]) -> None:
    """With what the client itself took."""
    noise = assessed[0].noise
    assert noise is not None
    assert noise.others_busy is not None
    assert noise.client_ms > 0
    assert "Other processes took" in noise.sentence()


def test_nothing_is_left(examined: Examined, assessed: tuple[Cost, dict[str, bytes]]) -> None:
    """No process serves the model any more."""
    assert left_of(examined.classifier.serving_directory) == []


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (CostSettings(requests=0), "evaluate.cost.requests is 0"),
        (QUICK.model_copy(update={"serving_python": "nowhere/python"}), "make setup"),
        (QUICK.model_copy(update={"start_timeout_s": 0.01}), "evaluate.cost.start_timeout_s"),
    ],
)
def test_what_cannot_be_measured_is_not_assessed(
    examined: Examined, settings: CostSettings, reason: str
) -> None:
    """Switched off, no environment, not ready: the reason names what mends it, and no number is made up."""
    cost, pictures = assess_cost(examined, settings)
    assert reason in (cost.not_assessed or "")
    assert cost == Cost(not_assessed=cost.not_assessed)
    assert pictures == {}
    for measured in cost.measured():
        assert measured.value is None
        assert measured.reason == cost.not_assessed


def test_an_image_says_where_its_serving_environment_is(
    examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing is configured, the variable decides."""
    monkeypatch.setenv(PYTHON_VARIABLE, str(Path("nowhere") / "python"))
    cost, _ = assess_cost(examined, QUICK)
    assert "nowhere/python does not exist" in (cost.not_assessed or "")


def test_another_model_than_the_trained_one_is_not_assessed(examined: Examined) -> None:
    """The replica refuses it, and its log's last line says why."""
    record = examined.classifier.record.model_copy(update={"model_digest": "0" * 64})
    changed = Classifier(examined.classifier.directory, record)
    cost, _ = assess_cost(_with(examined, classifier=changed), QUICK)
    assert "has digest" in (cost.not_assessed or "")


def test_pictures_without_an_answer_are_not_sent(examined: Examined) -> None:
    """Without any other there is nothing to time."""
    unusable = np.full(20, UNUSABLE)
    cost, _ = assess_cost(_with(examined, predicted=unusable), QUICK)
    assert "no test picture has an answer" in (cost.not_assessed or "")


def _with(examined: Examined, **changes: object) -> Examined:
    return Examined(**{**vars(examined), **changes})


def test_a_release_that_runs_is_measured_by_its_url() -> None:
    """Latency, errors, the rate it sustains and the cost of it, and the memory that it says it has."""
    with service(resident=300_000_000) as url:
        cost, pictures = measure_service(url, PICTURES, QUICK)
    assert cost.requests >= QUICK.requests
    assert value(cost.request_errors) == 0
    assert value(cost.throughput_per_s) > 100
    assert value(cost.cost_per_1000) > 0
    assert COST in pictures
    missing = {each.metric: each.reason for each in cost.measured() if each.value is None}
    assert value(cost.memory_mb) == 300
    assert missing.keys() == {"start_up_s", "model_mb"}
    assert all("by its URL alone" in (reason or "") for reason in missing.values())
    assert {each.metric for each in cost.measured() if each.spared} == missing.keys()
    assert cost.noise is not None
    assert cost.noise.others_busy is None


def test_a_release_that_runs_is_told_that_no_user_asks() -> None:
    """Its captures are what users got: they would drown in a load test."""
    seen: list[Mapping[str, str]] = []
    with service(seen=seen) as url:
        measure_service(url, PICTURES, QUICK)
    assert len(seen) >= QUICK.requests
    assert all(is_synthetic(headers.get(HEADER)) for headers in seen)


@pytest.mark.parametrize("said", [None, "lots", -1, 0])
def test_memory_that_a_release_does_not_state_is_not_made_up(said: object) -> None:
    """One from before it did: the rule on it is listed with the reason, and decides nothing."""
    with service(resident=said) as url:
        cost, _ = measure_service(url, PICTURES, QUICK)
    (memory,) = (each for each in cost.measured() if each.metric == "memory_mb")
    assert (memory.value, memory.spared) == (None, True)
    assert "by its URL alone" in (memory.reason or "")


def test_stalls_show_in_the_percentile_and_forbid_every_rate() -> None:
    """A service that stops for 0.3 s at every thirtieth request sustains no p99 of 100 ms."""
    answering = threading.Lock()

    def stall(number: int) -> None:
        with answering:
            time.sleep(0.3 if number % 30 == 0 else 0)

    settings = QUICK.model_copy(update={"p99_limit_ms": 100.0, "offered_total_per_s": 400.0})
    with service(stall) as url:
        cost, _ = measure_service(url, PICTURES, settings)
    assert cost.offered_per_s == 40
    assert value(cost.latency_p99_ms) >= 200
    assert cost.sustained_per_s is None
    reasons = {each.metric: each.reason or "" for each in cost.measured() if each.value is None}
    assert "longer than 100 ms" in reasons["throughput_per_s"]
    assert "longer than 100 ms" in reasons["cost_per_1000"]


def test_errors_are_counted_at_the_offered_rate() -> None:
    """One request in five fails: no 99th percentile is made up for them, and no rate is sustained."""
    with service(status=lambda number: 503 if number % 5 == 0 else 200) as url:
        cost, _ = measure_service(url, PICTURES, QUICK)
    assert value(cost.request_errors) == pytest.approx(0.2, abs=0.11)
    found = {each.metric: each for each in cost.measured()}
    assert found["latency_p99_ms"].value is not None
    assert found["latency_p99_ms"].value.value is None
    assert "failed" in (found["latency_p99_ms"].reason or "")
    assert "HTTP 503" in (found["throughput_per_s"].reason or "")


@pytest.mark.parametrize("url", ["shop.example", "http://127.0.0.1:1/api/v1.0/predictions"])
def test_a_url_where_nothing_answers_is_not_assessed(url: str) -> None:
    """No address, and nobody there: the reason says so."""
    cost, _ = measure_service(url, PICTURES, QUICK)
    assert cost.not_assessed
    assert math.isclose(cost.requests, 0)


def test_a_page_is_not_taken_for_a_prediction() -> None:
    """A proxy that answers 200 to everything is measured as nothing."""
    with service(body=b"<html>welcome</html>") as url:
        cost, _ = measure_service(url, PICTURES, QUICK)
    assert "does not answer a test picture" in (cost.not_assessed or "")
