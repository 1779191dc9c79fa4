"""A shadow is compared request by request, and never promoted by itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from materializers.observation import Observation
from materializers.shadow_report import ShadowReport
from steps.deployment.observing.moments import moment
from steps.deployment.observing.settings import ObserveSettings
from steps.deployment.observing.shadow import observe_shadow
from tests.steps.deployment.observing.traffic import BEGIN, captures, labels_for, posted, rolling

SETTINGS = ObserveSettings(settling_s=0, planned_requests=1000)


def observed(
    champion: pd.DataFrame,
    shadow: pd.DataFrame,
    *,
    feedback: pd.DataFrame | None = None,
    days: float = 1.0,
    settings: ObserveSettings = SETTINGS,
    **known: Any,
) -> tuple[Observation, ShadowReport]:
    """The observation of a shadow, and its report."""
    release = rolling(**({"mode": "shadow", "share": 0.0} | known))
    said = posted() if feedback is None else feedback
    return observe_shadow(release, champion, shadow, said, settings, now=BEGIN + timedelta(days=days))


def copied(champion: pd.DataFrame, *, changed: int = 0) -> pd.DataFrame:
    """What a shadow made of the same requests, a little later; the first answers are other ones."""
    shadow = champion.copy()
    shadow["at"] += timedelta(milliseconds=30)
    shadow["latency_ms"] = champion["latency_ms"] + 12.0
    shadow.loc[: changed - 1, "label"] = "hats"
    return shadow


def test_agreement_is_the_share_of_pictures_that_both_put_in_one_class() -> None:
    """With an interval, and a table of what changed."""
    champion = captures(400)
    _, report = observed(champion, copied(champion, changed=40))
    assert (report.agreement.value, report.agreement.n) == (0.9, 400)
    assert report.agreement.low is not None and report.agreement.high is not None
    assert report.agreement.low < 0.9 < report.agreement.high
    assert sum(row.pictures for row in report.changed) == 40
    assert {row.shadow for row in report.changed} == {"hats"}
    assert [row.pictures for row in report.changed] == sorted(
        (row.pictures for row in report.changed), reverse=True
    )


def test_latency_is_compared_request_by_request() -> None:
    """However much they scatter, each took 12 ms longer."""
    champion = captures(400)
    _, report = observed(champion, copied(champion))
    assert report.latency is not None
    difference = report.latency.difference
    for each in (difference.value, difference.low, difference.high):
        assert each == pytest.approx(12)
    assert report.latency.shadow_median == pytest.approx(report.latency.champion_median + 12)


def test_the_interval_of_the_median_holds_it_about_as_often_as_it_says() -> None:
    """Of 40 shadows that take 5 ms longer, give or take 20."""
    inside = 0
    for seed in range(40):
        champion = captures(60, seed=seed)
        shadow = copied(champion)
        shadow["latency_ms"] = champion["latency_ms"] + np.random.default_rng(seed).normal(5, 20, 60)
        _, report = observed(champion, shadow)
        assert report.latency is not None
        found = report.latency.difference
        assert found.low is not None and found.high is not None
        inside += found.low <= 5 <= found.high
    assert inside >= 36


def test_what_failed_in_the_shadow_alone_is_counted() -> None:
    """A request that failed has no answer to agree on."""
    champion = captures(400)
    shadow = copied(champion)
    failing = shadow.index[:20]
    shadow.loc[failing, "status"] = 503
    shadow.loc[failing, ["label", "probability"]] = None
    _, report = observed(champion, shadow)
    assert (report.errors.only_shadow, report.errors.only_champion, report.errors.both) == (20, 0, 0)
    assert report.errors.p is not None and report.errors.p < 1e-4
    assert report.agreement.n == 380


def test_requests_that_the_shadow_never_got_are_missing_and_no_disagreement() -> None:
    """A copy may be dropped, and one may come that the champion did not record."""
    champion = captures(400)
    shadow = copied(champion).iloc[100:]
    shadow.loc[shadow.index[0], "request_id"] = "unknown"
    observation, report = observed(champion, shadow)
    assert (report.requests_champion, report.requests_shadow, report.paired) == (400, 300, 299)
    assert report.agreement.value == 1.0
    assert report.missing == ("101 of 400 requests have no copy that the shadow recorded.",)
    assert observation.missing == report.missing


def test_accuracy_is_that_of_both_on_the_same_labelled_pictures() -> None:
    """The shadow lost 40 that were right nine times of ten."""
    champion = captures(400)
    _, report = observed(champion, copied(champion, changed=40), feedback=labels_for(champion, share=0.5))
    assert report.accuracy is not None
    assert report.accuracy.n == 200
    assert report.accuracy.champion == pytest.approx(0.9, abs=0.06)
    assert report.accuracy.difference.value == pytest.approx(-0.18, abs=0.03)
    assert report.accuracy.difference.high is not None and report.accuracy.difference.high < 0


def test_pictures_of_one_request_are_compared_each_with_itself() -> None:
    """By its position, and so are labels."""
    first = captures(50)
    second = captures(50, seed=1).assign(position=1, at=first["at"])
    champion = pd.concat([first, second], ignore_index=True)
    shadow = copied(champion)
    shadow.loc[shadow["position"] == 1, "label"] = "hats"
    _, report = observed(champion, shadow, feedback=labels_for(first).assign(position=0))
    assert (report.paired, report.agreement.n, report.agreement.value) == (50, 100, 0.5)
    assert report.accuracy is not None
    assert report.accuracy.n == 50


@pytest.mark.parametrize(
    ("undecided", "answer"), [("roll back", "roll back"), ("promote", "roll back"), ("ask", "ask")]
)
@pytest.mark.parametrize("count", [0, 700, 3000])
def test_it_ends_with_its_requests_or_its_time_and_is_never_promoted(
    undecided: str, answer: str, count: int
) -> None:
    """Whatever the policy promotes where something was shown."""
    champion = captures(count)
    settings = SETTINGS.model_copy(update={"undecided": undecided})
    early, _ = observed(champion, copied(champion), days=0.01, settings=settings)
    assert early.answer == "continue"
    observation, report = observed(champion, copied(champion), days=8, settings=settings)
    assert observation.answer == report.answer == answer
    assert "never promoted by itself" in observation.reasons[0]
    if count > 1000:
        assert observation.decided_at is not None
        assert moment(observation.decided_at) == moment(champion["at"].iloc[999] + timedelta(milliseconds=30))
    else:
        assert observation.decided_at == observation.deadline
        assert observation.because == ("undecided" if count else "insufficient data")


def test_the_same_records_give_the_same_report_from_the_end_on() -> None:
    """Later requests change nothing of it."""
    champion = captures(3000)
    whole = observed(champion, copied(champion), days=1)
    assert observed(champion, copied(champion), days=5) == whole


def test_a_shadow_takes_five_minutes_at_least() -> None:
    """However many requests come in the first."""
    champion = captures(3000, seconds=60)
    early, _ = observed(champion, copied(champion), days=299 / 86_400)
    late, _ = observed(champion, copied(champion), days=301 / 86_400)
    assert (early.answer, late.answer) == ("continue", "roll back")


def test_a_canary_is_no_shadow() -> None:
    """Who asks for one made a mistake."""
    with pytest.raises(ValueError, match="A canary release that is rolling_out is no shadow"):
        observed(captures(3), captures(3), mode="canary", share=0.1)
