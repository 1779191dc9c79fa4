"""The page of an observation says what becomes of a candidate, and shows what that follows from."""

from __future__ import annotations

from typing import Any

import pytest

from materializers.observation import Compared, Look, Need, Observation, Plan
from tests.materializers.examples import NOON, png

PLAN = Plan(
    alpha=0.02,
    power=0.98,
    planned_requests=3937,
    minimum_requests=500,
    share=0.1,
    days=3.937,
    expected_requests_per_day=10_000,
    looks=(20, 500, 3937),
    needs=(Need(signal="accuracy", figure="share", requests=3937),),
    figures=8,
    stages=1,
    undecided="roll back",
)


def compared(**known: Any) -> Compared:
    """Two of a hundred requests failed more."""
    about: dict[str, Any] = {
        "signal": "errors",
        "figure": "share",
        "unit": "share",
        "champion": 0.001,
        "candidate": 0.021,
        "n_champion": 4500,
        "n_candidate": 500,
        "worse": 0.02,
        "low": 0.008,
        "high": 0.04,
        "margin": 0.005,
        "harmful": True,
        "shown": False,
    }
    return Compared(**(about | known))


def look(*figures: Compared, number: int = 1, **known: Any) -> Look:
    """A look at these figures."""
    about: dict[str, Any] = {"clock": "requests", "n_candidate": 500, "n_champion": 4500, "at": NOON}
    return Look(**(about | {"harm_level": 1e-6, "level": 1e-4} | known), number=number, compared=figures)


def observation(**known: Any) -> Observation:
    """A canary that fails too often."""
    about: dict[str, Any] = {
        "model_name": "product-classifier",
        "environment": "production",
        "mode": "canary",
        "stage": 0,
        "share": 0.1,
        "candidate": 3,
        "champion": 2,
        "begin": NOON,
        "deadline": NOON,
        "seen_until": NOON,
        "answer": "roll back",
        "because": "harm",
        "decided_at": NOON,
        "requests_candidate": 500,
        "requests_champion": 4500,
        "reasons": ("Worse by more than is tolerated, beyond doubt: requests that failed <b>.",),
        "missing": ("3 labels came.",),
        "plan": PLAN,
        "looks": (look(compared()),),
    }
    return Observation(**(about | known)).with_pictures({"figures over time": png(5, 100)})


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("roll back", "Version 3 is rolled back"),
        ("promote", "Version 3 is promoted"),
        ("continue", "Version 3 is looked at further"),
        ("ask", "A person decides on version 3"),
    ],
)
def test_the_page_begins_with_the_answer_and_says_why(answer: str, said: str) -> None:
    """Then what is missing, the figures, the picture, the plan and the looks."""
    page = " ".join(observation(answer=answer).page().split())
    assert said in page
    places = [
        page.index(f"<h2>{heading}</h2>")
        for heading in ("Why", "What is missing", "Figures", "Over time", "Plan", "Looks")
    ]
    assert places == sorted(places)
    assert "requests that failed &lt;b&gt;." in page
    assert "Canary of product-classifier in production, 10 % of the traffic" in page
    assert '<img src="data:image/png;base64,' in page


def test_a_figure_stands_beside_the_champions_with_what_is_tolerated() -> None:
    """In points, with what the looks leave open."""
    page = " ".join(observation().page().split())
    assert '<td class="number">2.1 %</td>' in page
    assert '<td class="number">0.1 %</td>' in page
    assert '+2 points <span class="interval">[0.8, 4]</span>' in page
    assert "0.5 points" in page
    assert "✗ worse" in page


def test_what_lacks_is_no_number() -> None:
    """It is said of whom there is too little."""
    lacks = compared(
        signal="latency",
        figure="median",
        unit="ratio",
        champion=None,
        candidate=None,
        worse=None,
        low=None,
        high=None,
        harmful=False,
        lacking="answers: 0 of the candidate and 4500 of the champion",
    )
    page = observation(looks=(look(lacks),)).page()
    assert "○ too little" in page
    assert "answers: 0 of the candidate" in page


def test_the_plan_says_how_long_it_takes_at_most() -> None:
    """In requests and in days at the traffic that is expected."""
    page = " ".join(observation().page().split())
    assert "At most 3,937 requests of the candidate, which at 10,000 requests a day are 3.937 days" in page
    assert "then: roll back" in page


def test_the_plan_of_a_shadow_promises_no_promotion() -> None:
    """It is compared, and never promoted by itself."""
    page = " ".join(observation(mode="shadow", share=0.0, looks=()).page().split())
    assert "Both answer 3,937 requests" in page
    assert "is promoted, and one is rolled back" not in page
    assert "before a promotion" not in page


def test_before_the_first_look_there_is_a_plan_and_no_table() -> None:
    """Nothing was compared yet."""
    page = observation(looks=(), answer="continue", because="not decided yet", decided_at=None).page()
    assert "<h2>Plan</h2>" in page
    assert "<h2>Figures</h2>" not in page
    assert "<h2>Looks</h2>" not in page


def test_the_latest_of_a_figure_is_that_of_the_last_look_at_it() -> None:
    """Of labels another one than of requests."""
    accuracy = compared(signal="accuracy", harmful=False)
    first, second = compared(candidate=0.5), compared(candidate=0.03)
    found = observation(looks=(look(first), look(accuracy, clock="labels"), look(second, number=2)))
    assert [(each.signal, each.candidate) for each in found.latest] == [("errors", 0.03), ("accuracy", 0.021)]


def test_the_headline_is_the_answer_and_why() -> None:
    """What the dashboard shows without a click."""
    headline = observation().headline()
    assert (headline["answer"], headline["because"], headline["requests"]) == ("roll back", "harm", 500)
