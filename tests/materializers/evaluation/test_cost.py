"""A cost hands its numbers to the gate, and says of each that is missing why it is."""

from __future__ import annotations

from materializers.evaluation.cost import UNMEASURED, Cost, Noise, Probe
from materializers.evaluation.metric import Metric

NAMES = [
    "latency_p50_ms",
    "latency_p99_ms",
    "request_errors",
    "throughput_per_s",
    "memory_mb",
    "start_up_s",
    "cost_per_1000",
    "model_mb",
]
NOISE = Noise(
    cores=2,
    calibration_ms=0.98,
    spread=0.07,
    drift=-0.01,
    load_before=0.2,
    load_after=1.1,
    others_busy=0.03,
    late_p99_ms=0.21,
    client_ms=0.19,
)


def metric(value: float | None) -> Metric:
    """A number of 120 requests."""
    return Metric(value=value, n=120)


def test_every_number_has_its_name_and_no_reason() -> None:
    """What was measured is handed over as it is."""
    cost = Cost(**{name: metric(number) for number, name in enumerate(NAMES, 1)})
    measured = list(cost.measured())
    assert [each.metric for each in measured] == NAMES
    assert [each.value.value for each in measured if each.value] == list(range(1, 9))
    assert {(each.reason, each.subject) for each in measured} == {(None, None)}


def test_a_part_that_was_not_assessed_has_no_number_but_its_reason() -> None:
    """The same reason for each."""
    cost = Cost(not_assessed="there is no serving environment")
    assert {each.metric for each in cost.measured()} == set(NAMES)
    assert {(each.value, each.reason) for each in cost.measured()} == {
        (None, "there is no serving environment")
    }


def test_what_is_missing_of_a_part_says_why() -> None:
    """No rate held: no throughput and no price. A release measured by its URL: no process."""
    cost = Cost(
        latency_p50_ms=metric(3),
        latency_p99_ms=metric(None),
        not_sustained="no rate was sustained",
        not_of_a_process="by its URL alone",
    )
    reasons = {each.metric: each.reason for each in cost.measured()}
    assert reasons == {
        "latency_p50_ms": None,
        "latency_p99_ms": "so many requests failed that it is not defined",
        "request_errors": UNMEASURED,
        "throughput_per_s": "no rate was sustained",
        "memory_mb": "by its URL alone",
        "start_up_s": "by its URL alone",
        "cost_per_1000": "no rate was sustained",
        "model_mb": "by its URL alone",
    }


def test_it_is_read_back_as_it_was_stored() -> None:
    """With what was tried, and the noise."""
    probe = Probe(rate_per_s=90.5, n=7, p50_ms=3, p99_ms=None, held=False, reason="2 of 7 requests failed")
    cost = Cost(requests=1000, tried=(probe,), noise=NOISE, latency_p99_ms=metric(12.5))
    again = Cost.model_validate_json(cost.model_dump_json())
    assert again == cost
    assert again.digest == cost.digest


def test_the_noise_is_said_in_a_sentence() -> None:
    """Of a service elsewhere nobody knows what other processes took."""
    assert NOISE.sentence() == (
        "The same piece of work took up to 7% longer from one time to the next, and 1% less time after the "
        "measurement than before it: times that differ by less do not differ. 99 of 100 requests were sent "
        "within 0.21 ms of their moment, which is part of their latency. Other processes took 3% of the time "
        "of the 2 cores."
    )
    elsewhere = NOISE.model_copy(update={"others_busy": None, "drift": 0.02}).sentence()
    assert elsewhere.endswith("which is part of their latency.")
    assert "2% more time after the measurement than before it" in elsewhere
