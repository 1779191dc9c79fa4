"""The page of an A/B test answers a product manager: who is ahead, by how much, and is that decided."""

from __future__ import annotations

from typing import Any

import pytest

from materializers.ab_report import AbReport, Measurement, SuccessMetric
from tests.materializers.examples import NOON, png


def measured(difference: float, p: float, **known: Any) -> Measurement:
    """A look with a level of a thousandth."""
    about: dict[str, Any] = {
        "at": NOON,
        "n_candidate": 800,
        "n_champion": 3200,
        "candidate": 0.9 + difference,
    }
    about |= {"champion": 0.9, "difference": difference, "low": difference - 0.05, "high": difference + 0.05}
    return Measurement(**(about | {"p": p, "level": 0.001} | known))


def metric(*looks: Measurement, **known: Any) -> SuccessMetric:
    """Accuracy at these looks."""
    about: dict[str, Any] = {"name": "accuracy", "unit": "share", "more_is_better": True, "tolerated": 0.025}
    return SuccessMetric(**(about | {"needed": 4000, "power": 0.3} | known), looks=looks)


def report(*metrics: SuccessMetric, **known: Any) -> AbReport:
    """Version 3 beside version 2."""
    about: dict[str, Any] = {
        "model_name": "product-classifier",
        "environment": "production",
        "candidate": 3,
        "champion": 2,
        "share": 0.2,
        "begin": NOON,
        "seen_until": NOON,
        "requests_candidate": 800,
        "requests_champion": 3200,
        "answer": "continue",
        "because": "not decided yet",
        "alpha": 0.02,
        "power": 0.98,
    }
    return AbReport(**(about | known), metrics=metrics).with_pictures(
        {"success metrics over time": png(5, 9)}
    )


BETTER = metric(measured(0.1, 1e-6))
SLOWER = metric(measured(30.0, 1e-9), name="latency", unit="ms", more_is_better=False)
OPEN = metric(measured(1.5, 0.2), name="business figure", unit="")


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ((BETTER, OPEN), "Version 3 is better in accuracy"),
        ((OPEN, SLOWER), "Version 3 is worse in latency"),
        ((BETTER, SLOWER), "Better in accuracy, worse in latency"),
        ((OPEN,), "No difference is shown yet"),
    ],
)
def test_the_page_begins_with_who_is_ahead_where_that_is_decided(
    metrics: tuple[SuccessMetric, ...], said: str
) -> None:
    """What is not decided is no headline."""
    assert said in " ".join(report(*metrics).page().split())


def test_each_metric_has_both_figures_the_difference_and_how_sure_that_is() -> None:
    """With interval, p-value, sample size and power."""
    page = " ".join(report(BETTER, SLOWER, OPEN).page().split())
    assert '100 % <span class="interval">n 800</span>' in page
    assert '90 % <span class="interval">n 3,200</span>' in page
    assert '+10 points <span class="interval">[+5, +15]</span>' in page
    assert "✓ the new version, decided" in page
    assert "✗ the old version, decided" in page
    assert "○ the new version, not decided" in page
    assert '2.5 points</td><td class="number">4,000</td><td class="number">800</td>' in page
    assert '<img src="data:image/png;base64,' in page


def test_a_metric_that_nothing_came_for_says_so() -> None:
    """In place of its numbers."""
    nothing = metric(
        tolerated=None, needed=None, power=None, lacking="3 of the candidate and 9 of the champion came"
    )
    page = report(nothing).page()
    assert "3 of the candidate and 9 of the champion came" in page
    assert "○ nothing to compare" in page
    assert (nothing.decided, nothing.ahead, nothing.latest) == (False, None, None)


def test_what_was_shown_once_stays_decided() -> None:
    """A later look has a level of its own, and less than the difference then is no contradiction."""
    shown = metric(measured(0.1, 1e-6), measured(-0.01, 0.4))
    assert (shown.decided, shown.ahead) == (True, "candidate")
    open_ = metric(measured(0.1, 0.02), measured(-0.01, 0.4))
    assert (open_.decided, open_.ahead) == (False, "champion")
    assert metric(measured(0.0, 1.0)).ahead is None


def test_less_of_a_latency_is_better() -> None:
    """A negative difference is the candidate's."""
    faster = metric(measured(-30.0, 1e-9), name="latency", unit="ms", more_is_better=False)
    assert (faster.ahead, SLOWER.ahead) == ("candidate", "champion")


def test_the_headline_has_only_what_is_decided() -> None:
    """What the dashboard shows without a click."""
    assert report(BETTER, OPEN).headline() == {
        "answer": "continue",
        "requests": 800,
        "accuracy_ahead": "candidate",
    }
