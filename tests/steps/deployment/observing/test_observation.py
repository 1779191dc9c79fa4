"""An observation says what should become of a release, why, and what is missing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pandas as pd
import pytest

from materializers.observation import Observation
from materializers.release import Release
from steps.deployment.observing.observation import observe_rollout
from steps.deployment.observing.settings import ObserveSettings
from tests.steps.deployment.observing.traffic import BEGIN, captures, labels_for, posted, rolling

SETTINGS = ObserveSettings(settling_s=0)
DEADLINE = BEGIN + timedelta(days=8)


def observed(
    candidate: pd.DataFrame,
    *,
    feedback: pd.DataFrame | None = None,
    release: Release | None = None,
    settings: ObserveSettings = SETTINGS,
    days: float = 1,
    unreadable: tuple[str, ...] = (),
    **champion: Any,
) -> Observation:
    """The observation of this candidate beside nine times as many requests."""
    return observe_rollout(
        release or rolling(),
        captures(9 * len(candidate), seed=99, prefix="h", **champion),
        candidate,
        posted() if feedback is None else feedback,
        settings,
        now=BEGIN + timedelta(days=days),
        unreadable=unreadable,
    )


def test_it_names_the_release_the_answer_and_when_that_was_reached() -> None:
    """And each look, with the figures that it saw."""
    found = observed(captures(4000))
    assert (found.model_name, found.environment, found.mode) == ("product-classifier", "production", "canary")
    assert (found.candidate, found.champion, found.share) == (3, 2, 0.1)
    assert (found.answer, found.because) == ("promote", "shown")
    assert found.decided_at == found.looks[-1].at == found.seen_until
    assert found.requests_candidate == found.looks[-1].n_candidate
    assert found.headline()["answer"] == "promote"
    assert {each.signal for each in found.latest} == {
        "errors",
        "rejections",
        "latency",
        "abstention",
        "scores",
    }


def test_harm_is_a_sentence_with_the_numbers() -> None:
    """What was measured of both, and what is tolerated."""
    found = observed(captures(4000, errors=0.05))
    (reason,) = found.reasons
    assert reason.startswith("Worse by more than is tolerated, beyond doubt: requests that failed: ")
    assert "beside the champion's 0 %, tolerated 0.5 points worse (n = " in reason


def test_what_is_not_decided_names_what_is_open_and_what_is_missing() -> None:
    """In its first hours, without labels."""
    found = observed(captures(4000), days=0.1)
    assert (found.answer, found.decided_at) == ("continue", None)
    assert any("Not shown to be no worse yet: requests that failed" in reason for reason in found.reasons)
    missing = " ".join(found.missing)
    assert "before 500 nothing is promoted" in missing
    assert "0 labels came to what the candidate answered; accuracy is asked for from 100 on" in missing


def test_without_a_request_it_says_so_at_the_deadline() -> None:
    """And nothing is promoted."""
    found = observed(captures(0), days=8)
    assert (found.answer, found.because) == ("roll back", "insufficient data")
    assert "There is too little to compare" in found.reasons[0]
    assert "The champion has no requests to compare with." in found.missing
    assert found.looks == ()


def test_at_the_end_of_the_plan_it_names_the_policy() -> None:
    """What is worse by just what is tolerated, with a policy that asks."""
    settings = ObserveSettings(settling_s=0, undecided="ask")
    found = observed(captures(4000, errors=0.005, seed=4), settings=settings)
    assert (found.answer, found.because) == ("ask", "undecided")
    assert "the policy asks a person then (undecided: ask)" in found.reasons[0]


PARTS = tuple(f"captures/production/shop/part-{number}.parquet" for number in range(7))


@pytest.mark.parametrize("mode", ["canary", "ab"])
def test_nothing_is_promoted_on_what_is_left_of_damaged_records(mode: str) -> None:
    """It goes on, names them and what to do; at the deadline it ends, with a policy that promotes too."""
    release = rolling(mode=mode)
    found = observed(captures(4000), release=release, unreadable=PARTS)
    assert (found.answer, found.because) == ("continue", "not decided yet")
    assert (
        f"7 parts of captures and feedback cannot be read and nothing is promoted without: {PARTS[0]}, "
        in (found.missing[0])
    )
    assert f"{PARTS[4]} and 2 more" in found.missing[0]
    assert "python run.py --rollback --environment production" in found.missing[0]
    for undecided, answer in (("promote", "roll back"), ("roll back", "roll back"), ("ask", "ask")):
        settings = SETTINGS.model_copy(update={"undecided": undecided})
        ended = observed(captures(4000), release=release, unreadable=PARTS, settings=settings, days=8)
        assert (ended.answer, ended.because) == (answer, "insufficient data")
    assert observed(captures(4000), release=release).answer == "promote"


def test_a_candidate_that_does_harm_is_rolled_back_on_what_is_left_of_damaged_records() -> None:
    """It does not wait for what is lost."""
    found = observed(captures(4000, errors=0.05), unreadable=PARTS[:1])
    assert (found.answer, found.because) == ("roll back", "harm")
    assert "1 part of captures and feedback cannot be read" in found.missing[0]


def test_a_plan_that_ends_undecided_on_damaged_records_lacks_data() -> None:
    """No policy promotes then."""
    settings = SETTINGS.model_copy(
        update={"undecided": "promote", "planned_requests": 600, "minimum_requests": 500}
    )
    assert observed(captures(600), settings=settings).because == "undecided"
    found = observed(captures(600), settings=settings, unreadable=PARTS[:1])
    assert (found.answer, found.because) == ("roll back", "insufficient data")


def test_labels_that_hold_nothing_up_are_named_as_such() -> None:
    """And those that are waited for."""
    candidate = captures(4000)
    found = observed(
        candidate,
        feedback=labels_for(candidate.head(50)),
        settings=ObserveSettings(settling_s=0, labels="harm only"),
    )
    assert any("(labels: harm only); " in sentence for sentence in found.missing)
    waiting = observed(candidate, settings=ObserveSettings(settling_s=0, labels="required"))
    assert any("a promotion waits for them (labels: required)" in sentence for sentence in waiting.missing)


def test_an_a_b_test_says_that_business_figures_are_missing() -> None:
    """A canary has none to miss."""
    release = rolling(mode="ab", share=0.2)
    assert any(
        "0 business figures" in sentence for sentence in observed(captures(900), release=release).missing
    )
    assert not any("business" in sentence for sentence in observed(captures(900)).missing)


@pytest.mark.parametrize(
    "known",
    [{"status": "live"}, {"mode": "full"}, {"stage_since": None}, {"mode": "shadow", "status": "live"}],
)
def test_what_is_not_rolling_out_is_not_compared(known: dict[str, Any]) -> None:
    """Who calls it so made a mistake."""
    with pytest.raises(ValueError, match=r"is (not compared like this|no shadow to compare)"):
        observed(captures(10), release=rolling(**known))


def test_a_shadow_is_observed_as_one() -> None:
    """It reports on requests that both answered, and is not promoted."""
    found = observed(captures(200), release=rolling(mode="shadow", share=0.0), days=8)
    assert (found.mode, found.answer) == ("shadow", "roll back")
    assert "never promoted by itself" in found.reasons[0]


def test_the_same_records_give_the_same_report_after_the_decision() -> None:
    """Its digest, too."""
    candidate = captures(4000)
    assert observed(candidate, days=1).digest == observed(candidate, days=5).digest
