"""A drop is what the labels show beyond doubt, beside a floor and a baseline that does not move."""

from __future__ import annotations

import pandas as pd
import pytest

from materializers.drift_report import Performance
from steps.monitoring.performance import measure_performance
from steps.monitoring.settings import PerformanceSettings


def measured(right: int, wrong: int, unlabelled: int = 0, baseline: float | None = 0.9) -> Performance:
    """What so many answers come to; labels took a quarter of an hour."""
    correct = [True] * right + [False] * wrong + [None] * unlabelled
    rows = pd.DataFrame(
        {
            "correct": pd.array(correct, dtype="boolean"),
            "delay_s": [900.0] * (right + wrong) + [float("nan")] * unlabelled,
        }
    )
    return measure_performance(rows, baseline, PerformanceSettings())


def test_coverage_and_delay_are_stated() -> None:
    """How many answers have a label, and how long it took, as nobody else knows what was left out."""
    found = measured(180, 20, unlabelled=200)
    assert (found.coverage, found.delay_s, found.accuracy.n) == (0.5, 900.0, 200)
    assert found.outcome == "no drop"
    assert "200 of 400 answers have a label" in found.reasons[0]


@pytest.mark.parametrize(
    ("right", "wrong", "outcome"),
    [
        (700, 300, "drop"),  # 67 to 73 %, below the floor of 80 %
        (820, 180, "drop"),  # 79.5 to 84.3 %, below 95 % of the baseline's 90 %
        (840, 160, "no drop"),  # 81.6 to 86.1 %
        (80, 20, "no drop"),  # 71 to 87 %
    ],
)
def test_a_drop_is_below_a_limit_with_the_whole_interval(right: int, wrong: int, outcome: str) -> None:
    """The upper bound of 95 % decides, so that a bad day of few labels is no alarm."""
    assert measured(right, wrong).outcome == outcome


def test_without_a_baseline_the_floor_decides() -> None:
    """Before any version was in production there is nothing else to compare with."""
    assert measured(820, 180, baseline=None).outcome == "no drop"
    assert measured(820, 180).outcome == "drop"
    assert measured(700, 300, baseline=None).outcome == "drop"


def test_few_labels_are_insufficient_data() -> None:
    """Whatever they say: neither a drop nor that all is well."""
    found = measured(0, 99)
    assert found.outcome == "insufficient data"
    assert found.reasons == ("99 of 99 answers have a label, 100 at least are needed",)


def test_a_large_change_is_reported_either_way() -> None:
    """More than five points beside the baseline is worth a line, also where it is better."""
    assert "above the baseline" in measured(980, 20).reasons[-1]
    assert "below the baseline" in measured(840, 160).reasons[-1]
    assert len(measured(900, 100).reasons) == 1
