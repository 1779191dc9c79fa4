"""The page of a shadow says how often both agree, and what becomes of what was compared."""

from __future__ import annotations

from typing import Any

import pytest

from materializers.evaluation.metric import Metric
from materializers.shadow_report import ChangedLabel, Latency, PairedAccuracy, PairedErrors, ShadowReport
from tests.materializers.examples import NOON


def report(**known: Any) -> ShadowReport:
    """Version 3 as the shadow of version 2."""
    about: dict[str, Any] = {
        "model_name": "product-classifier",
        "environment": "production",
        "candidate": 3,
        "champion": 2,
        "begin": NOON,
        "seen_until": NOON,
        "answer": "roll back",
        "because": "undecided",
        "requests_champion": 1000,
        "requests_shadow": 990,
        "paired": 990,
        "agreement": Metric(value=0.951, low=0.935, high=0.963, n=985),
        "changed": (ChangedLabel(champion="<b>", shadow="shoes", pictures=40),),
        "errors": PairedErrors(requests=990, only_shadow=5, only_champion=0, both=1, p=0.0625),
        "latency": Latency(
            champion_median=40.0,
            shadow_median=52.0,
            champion_p95=70.0,
            shadow_p95=90.0,
            difference=Metric(value=12.0, low=11.0, high=13.0, n=985),
        ),
        "accuracy": PairedAccuracy(
            n=200, champion=0.9, shadow=0.92, difference=Metric(value=0.02, low=-0.01, high=0.05, n=200)
        ),
        "missing": ("10 of 1,000 requests have no copy that the shadow recorded.",),
    }
    return ShadowReport(**(about | known))


def test_the_page_shows_agreement_errors_latency_accuracy_and_changed_labels() -> None:
    """Each with its interval, where it has one; names of classes are text."""
    page = " ".join(report().page().split())
    assert "Both agree on 95.1 % of the pictures" in page
    assert "985 pictures answered by both, 95 %: 93.5 % to 96.3 %" in page
    assert "a shadow is never promoted by itself" in page
    assert "p = 0.062 (McNemar)" in page or "p = 0.063 (McNemar)" in page
    assert '+12 ms longer in the shadow <span class="interval">[+11, +13]</span>' in page
    assert '+2 points <span class="interval">[−1, +5]</span>' in page
    assert '<td>&lt;b&gt;</td><td>shoes</td><td class="number">40</td>' in page
    assert "10 of 1,000 requests have no copy" in page


def test_what_nobody_knows_is_left_out() -> None:
    """No label, no answer, no difference."""
    empty = report(
        agreement=Metric(value=None, n=0),
        changed=(),
        latency=None,
        accuracy=None,
        errors=PairedErrors(requests=0, only_shadow=0, only_champion=0, both=0, p=None),
        missing=(),
    )
    page = empty.page()
    assert "No picture was answered by both" in page
    for heading in ("Latency", "Accuracy", "Changed labels", "What is missing"):
        assert f"<h2>{heading}</h2>" not in page
    assert empty.headline() == {"answer": "roll back", "pictures": 0}


@pytest.mark.parametrize(
    ("answer", "said"), [("continue", "It is compared further."), ("ask", "A person decides now.")]
)
def test_the_page_says_what_becomes_of_it(answer: str, said: str) -> None:
    """While it goes on, and at its end."""
    assert said in report(answer=answer).page()


def test_the_headline_is_the_agreement() -> None:
    """What the dashboard shows without a click."""
    assert report().headline() == {"answer": "roll back", "pictures": 985, "agreement": 0.951}
