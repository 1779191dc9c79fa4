"""A load test says what did not hold before what was measured."""

from __future__ import annotations

import pytest

from materializers.evaluation.cost import Cost
from materializers.evaluation.metric import Metric
from tests.materializers.examples import full_verdict, load_test


def test_the_page_says_why_and_then_what_serving_came_to() -> None:
    """The rule that refuses, all rules, the cost with its picture and how quiet the machine was."""
    page = " ".join(load_test().page().split())
    why, rules, cost = (page.index(f"<h2>{heading}</h2>") for heading in ("Why", "Rules", "Cost"))
    assert why < rules < cost
    assert "612.5" in page[why:rules]
    assert "request errors" not in page[why:rules]
    assert "request errors" in page[rules:cost]
    assert "<img " in page[cost:]
    assert "took up to 4% longer" in page[cost:]
    assert load_test().reasons() == ["latency_p99_ms: 612.5, limit <= 500"]


def test_a_release_that_nobody_could_measure_says_so() -> None:
    """One line in place of the numbers."""
    page = load_test(cost=Cost(not_assessed="nobody answered"), rules=full_verdict().rules).page()
    assert "Not assessed: the cost of the release, because nobody answered." in page
    assert "<h2>Why" not in page
    assert "<h2>Cost" not in page


@pytest.mark.parametrize(
    ("memory", "lacking"),
    [(Metric(value=300.0, n=3), "start-up and size"), (None, "memory, start-up and size")],
)
def test_what_the_release_said_of_its_memory_is_not_called_missing(
    memory: Metric | None, lacking: str
) -> None:
    """Only what its address does not show is."""
    page = load_test(cost=Cost(memory_mb=memory, not_of_a_process="it runs already")).page()
    assert f"Not assessed: {lacking}, because it runs already." in page
