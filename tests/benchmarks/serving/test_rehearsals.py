"""A rehearsal is judged by the product's replay, and a candidate is worse in just what it is said to be."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.serving.recorded_answers import Recorded
from benchmarks.serving.rehearsals import (
    EQUAL,
    REQUESTS,
    SETTINGS,
    SHARE,
    WORSE,
    Rehearsed,
    answered,
    bare_answer,
    claim_about,
    rehearse,
)
from steps.deployment.observing.moments import NEVER

ACCURATE, SLOW, FAILING = WORSE
GENERATOR = np.random.default_rng(0)
TRUE = GENERATOR.integers(0, 3, 900)
RECORDED = Recorded(
    name="900 drawn answers",
    classes=("bags", "shoes", "tops"),
    label=np.where(GENERATOR.random(900) < 0.92, TRUE, (TRUE + 1) % 3),
    true=TRUE,
    probability=GENERATOR.beta(8, 1, 900),
    abstained=GENERATOR.random(900) < 0.03,
    latency_ms=GENERATOR.lognormal(1.0, 0.4, 900),
)
TIMES = np.arange(30_000, dtype=np.int64)


def test_an_equal_candidate_answers_as_the_recorded_model_does() -> None:
    """And everything is labelled, some time later."""
    found = answered(RECORDED, EQUAL, TIMES, np.random.default_rng(1))
    assert found.answered.all()
    assert found.correct.mean() == pytest.approx(RECORDED.accuracy, abs=0.01)
    assert (found.labelled_at >= found.at).all()
    assert set(found.latency_ms) <= set(RECORDED.latency_ms)


def test_a_worse_candidate_is_worse_in_one_thing_by_what_it_says() -> None:
    """Points of accuracy, a factor of the latency, or a share of its requests."""
    ours = {kind: answered(RECORDED, kind, TIMES, np.random.default_rng(2)) for kind in (EQUAL, *WORSE)}
    right = {kind: found.correct[found.answered].mean() for kind, found in ours.items()}
    assert right[ACCURATE] == pytest.approx(right[EQUAL] - 0.05, abs=0.006)
    assert right[SLOW] == right[EQUAL]
    assert np.median(ours[SLOW].latency_ms) == 3 * np.median(ours[EQUAL].latency_ms)
    assert (ours[FAILING].status >= 500).mean() == pytest.approx(0.02, abs=0.003)
    failed = ours[FAILING].status >= 500
    assert (ours[FAILING].labelled_at[failed] == NEVER).all()
    assert all((ours[kind].status == 200).all() for kind in (EQUAL, ACCURATE, SLOW))


@pytest.mark.parametrize("kind", [EQUAL, *WORSE], ids=lambda kind: kind.name)
def test_each_kind_is_decided_rightly_within_the_requests(kind: object) -> None:
    """By the shipped settings; the same seed gives the same rehearsal."""
    assert isinstance(kind, type(EQUAL))
    found = rehearse(RECORDED, kind, 3)
    assert found.answer == ("promote" if kind is EQUAL else "roll back")
    assert found.requests <= REQUESTS
    assert rehearse(RECORDED, kind, 3) == found


def test_a_bare_threshold_is_wrong_about_some_that_are_equal() -> None:
    """The measured accuracies of 500 requests differ by 2.5 points now and then."""
    rolled_back = 0
    for seed in range(60):
        generator = np.random.default_rng(seed)
        n = round(5000 * SHARE)
        candidate = answered(RECORDED, EQUAL, np.arange(n, dtype=np.int64) * 10**9, generator)
        champion = answered(RECORDED, EQUAL, np.arange(9 * n, dtype=np.int64) * 10**9 // 9, generator)
        rolled_back += bare_answer(champion, candidate, SETTINGS) == "roll back"
    assert 1 <= rolled_back < 40


def test_a_claim_counts_what_was_not_promoted_and_prints_requests_and_days() -> None:
    """Of an equal candidate few may be, of a worse one nearly all have to be."""
    found = [
        Rehearsed("roll back", "harm", 10_000, "promote"),
        Rehearsed("roll back", "undecided", 40_000, "roll back"),
        Rehearsed("promote", "shown", 20_000, "promote"),
        Rehearsed("roll back", "harm", 20_000, "promote"),
    ]
    worse, equal = claim_about(RECORDED, SLOW, found), claim_about(RECORDED, EQUAL, found)
    assert (worse.ours, worse.peer, worse.limit, worse.holds) == (0.75, 0.25, 0.95, False)
    assert (equal.ours, equal.limit, equal.holds) == (0.75, 0.05, False)
    assert "harm was shown in 50.0%; requests needed 20,000, 95 % 37,000" in worse.name
    assert "2.00 and 3.70 days" in worse.name
