"""What answers were worth is compared with the first mean of enough figures, which does not move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from materializers.drift_report import BusinessFigure
from steps.monitoring.business import fixed_figure, mean_figure, measure_business
from steps.monitoring.settings import BusinessSettings
from tests.materializers.examples import drift_report

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def rows(*values: float | None, figure: str = "value") -> pd.DataFrame:
    """One request each."""
    other = "reward" if figure == "value" else "value"
    return pd.DataFrame(
        {"request_id": [f"r{number}" for number in range(len(values))], figure: values, other: float("nan")}
    ).astype({figure: "float64"})


def around(mean: float, n: int = 200) -> list[float]:
    """Figures around a mean."""
    return [mean + (-0.1, 0.1)[number % 2] for number in range(n)]


def measured(*values: float, before: float | None = None, **settings: Any) -> BusinessFigure:
    """What these figures come to, beside a baseline that was set a month ago."""
    asked = BusinessSettings(**settings)
    found = None
    if before is not None:
        mean = mean_figure(rows(*around(before), figure=asked.figure), asked)
        found = measure_business(mean, None, asked, at=NOON - timedelta(30))
    return measure_business(mean_figure(rows(*values, figure=asked.figure), asked), found, asked, at=NOON)


def test_the_first_mean_of_enough_figures_is_the_baseline() -> None:
    """It says how it was set; and the next keeps it, with the time of that window."""
    first = measured(*around(10))
    assert (first.outcome, first.baseline_set) == ("no drop", NOON)
    assert first.baseline == pytest.approx(10)
    assert "the baseline from now on" in first.reasons[0]
    later = measured(*around(9.5), before=10)
    assert later.baseline == pytest.approx(10)
    assert later.baseline_set == NOON - timedelta(30)
    assert later.limit == pytest.approx(9)


@pytest.mark.parametrize(
    ("value_is", "mean", "outcome"),
    [
        *[("gain", 8.5, "drop"), ("gain", 9.5, "no drop"), ("gain", 20, "no drop")],
        *[("cost", 11.5, "drop"), ("cost", 10.5, "no drop"), ("cost", 1, "no drop")],
    ],
)
def test_worse_by_more_than_the_decline_is_a_drop(value_is: str, mean: float, outcome: str) -> None:
    """Of a gain what is less, of a cost what is more; a tenth of the baseline's ten is one."""
    assert measured(*around(mean), before=10, value_is=value_is).outcome == outcome


@pytest.mark.parametrize("value_is", ["gain", "cost"])
def test_a_baseline_below_zero_declines_downwards_for_a_gain(value_is: str) -> None:
    """A loss of ten that becomes one of twelve is worse, one of eight is better; of a cost the other way."""
    worse, better = (-12, -8) if value_is == "gain" else (-8, -12)
    assert measured(*around(worse), before=-10, value_is=value_is).outcome == "drop"
    assert measured(*around(better), before=-10, value_is=value_is).outcome == "no drop"


def test_an_interval_that_reaches_the_limit_is_no_drop() -> None:
    """A mean of 8.8 of figures that differ by tens says nothing of a limit of nine."""
    wide = [8.8 + (-30, 30)[number % 2] for number in range(200)]
    assert measured(*wide, before=10).outcome == "no drop"


@pytest.mark.parametrize("n", [0, 1, 99])
def test_few_figures_are_insufficient_data(n: int) -> None:
    """Neither a drop nor that all is well, nor a baseline."""
    found = measured(*around(1, n))
    assert (found.outcome, found.baseline, found.baseline_set) == ("insufficient data", None, None)
    assert found.reasons == (f"a value was posted of {n:,} requests, 100 at least are needed",)
    assert measured(*around(1, n), before=10).baseline == pytest.approx(10)


def test_a_request_counts_once_and_what_is_no_number_not_at_all() -> None:
    """However many pictures it had."""
    twice = pd.concat([rows(1.0, 3.0, None, float("inf"))] * 2, ignore_index=True)
    assert (found := mean_figure(twice, BusinessSettings())).n == 2
    assert found.value == 2.0
    assert mean_figure(twice, BusinessSettings(figure="reward")).n == 0


def test_a_baseline_is_of_the_same_figure_and_of_no_time_before() -> None:
    """Another figure, or a baseline of the accuracy that was set anew, begins with a new one."""
    report, settings = drift_report(), BusinessSettings()
    assert report.business is not None
    set_at = report.business.baseline_set
    assert set_at is not None
    without = report.model_copy(update={"business": None})
    assert fixed_figure([without, report], settings, since=None) == report.business
    assert fixed_figure([report], settings, since=set_at) == report.business
    assert fixed_figure([report], settings, since=set_at + timedelta(seconds=1)) is None
    assert fixed_figure([report], BusinessSettings(figure="reward"), since=None) is None
    assert fixed_figure([report], BusinessSettings(value_is="cost"), since=None) is None
    assert fixed_figure([], settings, since=None) is None
