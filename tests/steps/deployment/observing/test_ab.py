"""Success metrics of an A/B test are compared by statsmodels, at the looks that were fixed beforehand."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.proportion import test_proportions_2indep as by_score
from statsmodels.stats.weightstats import ttest_ind

from materializers.ab_report import AbReport, SuccessMetric
from materializers.picture_sheet import places_of
from steps.deployment.observing.ab import report_ab
from steps.deployment.observing.ab_pictures import METRICS, ab_pictures
from steps.deployment.observing.observation import observe_rollout
from steps.deployment.observing.settings import ObserveSettings
from tests.steps.deployment.observing.traffic import BEGIN, captures, labels_for, posted, rolling, values_for

SETTINGS = ObserveSettings(settling_s=0)
CHAMPION = captures(8000, seed=9, prefix="h")
VALUES = values_for(CHAMPION, 10.0, seed=7)


def reported(
    candidate: pd.DataFrame,
    *feedback: pd.DataFrame,
    settings: ObserveSettings = SETTINGS,
    days: float = 1.0,
    **known: Any,
) -> AbReport:
    """The report of a candidate that has a fifth of the traffic."""
    release = rolling(**({"mode": "ab", "share": 0.2} | known))
    said = pd.concat([posted(), *feedback], ignore_index=True) if feedback else posted()
    now = BEGIN + timedelta(days=days)
    return report_ab(release, CHAMPION, candidate, said, settings, now=now)


def metric(report: AbReport, name: str) -> SuccessMetric:
    """One of its metrics."""
    return next(each for each in report.metrics if each.name == name)


def test_a_candidate_that_earns_more_is_ahead_and_that_is_decided() -> None:
    """By a fifth; the other metrics are open, and one that nothing came for says so."""
    candidate = captures(2000)
    found = reported(candidate, values_for(candidate, 12.0), VALUES, days=8)
    value = metric(found, "business figure")
    assert (value.decided, value.ahead, value.more_is_better) == (True, "candidate", True)
    assert [each.name for each in found.decided] == ["business figure"]
    assert "0 of the candidate" in (metric(found, "accuracy").lacking or "")
    assert (found.candidate, found.champion, found.share) == (3, 2, 0.2)


def test_a_faster_and_less_accurate_candidate_is_ahead_in_one_and_behind_in_the_other() -> None:
    """Less latency is better, less accuracy is not."""
    candidate = captures(2000, slower=0.7, accuracy=0.75)
    found = reported(candidate, labels_for(candidate), labels_for(CHAMPION), days=8)
    assert (metric(found, "latency").ahead, metric(found, "accuracy").ahead) == ("candidate", "champion")
    assert metric(found, "latency").decided and metric(found, "accuracy").decided


def test_more_of_a_cost_is_behind() -> None:
    """By configuration."""
    candidate = captures(2000)
    settings = ObserveSettings(settling_s=0, value_is="cost", minimum_labels=100_000)
    found = reported(candidate, values_for(candidate, 12.0), VALUES, settings=settings, days=8)
    assert metric(found, "business figure").ahead == "champion"


def test_p_values_are_those_of_statsmodels_on_what_had_come_at_the_look() -> None:
    """A share by the score test, means by Welch's; the interval leaves out 0 where that is significant."""
    candidate = captures(2000, accuracy=0.87)
    found = reported(
        candidate, labels_for(candidate), labels_for(CHAMPION), values_for(candidate, 11.0), VALUES
    )
    for each in found.metrics:
        assert each.looks
        for look in each.looks:
            assert look.low is not None and look.high is not None
            assert look.low <= look.difference <= look.high
    accuracy, latency = (metric(found, name).looks[-1] for name in ("accuracy", "latency"))
    right = [
        round(share * n)
        for share, n in (
            (accuracy.candidate, accuracy.n_candidate),
            (accuracy.champion, accuracy.n_champion),
        )
    ]
    p = by_score(
        right[0], accuracy.n_candidate, right[1], accuracy.n_champion, method="score", correction=False
    )
    assert accuracy.p == pytest.approx(p.pvalue)
    times = [rows["latency_ms"].to_numpy() for rows in (candidate, CHAMPION)]
    p = ttest_ind(times[0][: latency.n_candidate], times[1][: latency.n_champion], usevar="unequal")[1]
    assert latency.p == pytest.approx(p)


def test_the_levels_of_all_looks_and_metrics_are_within_the_error_rate() -> None:
    """At the deadline, when the last of it is spent."""
    candidate = captures(2000)
    settings = ObserveSettings(settling_s=0, labels="required", minimum_labels=100_000)
    found = reported(
        candidate,
        labels_for(candidate),
        labels_for(CHAMPION),
        values_for(candidate, 10.0),
        VALUES,
        settings=settings,
        days=8,
    )
    assert sum(look.level for each in found.metrics for look in each.looks) <= SETTINGS.alpha + 1e-12


def test_looking_often_finds_no_difference_where_there_is_none() -> None:
    """Of 30 metrics of equal arms, looked at whenever a look was due, hardly any is decided."""
    decided = 0
    for seed in range(15):
        candidate = captures(500, seed=seed)
        champion_values = values_for(CHAMPION, 10.0, seed=200 + seed)
        found = reported(candidate, values_for(candidate, 10.0, seed=seed), champion_values)
        decided += len(found.decided)
    assert decided <= 1


def test_sample_size_and_power_are_those_of_the_tolerated_difference() -> None:
    """More requests have more power, and what is needed does not depend on them."""
    few, many = (reported(captures(n)) for n in (200, 2000))
    latencies = [metric(each, "latency") for each in (few, many)]
    assert latencies[0].power is not None and latencies[1].power is not None
    assert latencies[0].power <= latencies[1].power
    candidate = captures(2000)
    accuracy = metric(reported(candidate, labels_for(candidate), labels_for(CHAMPION)), "accuracy")
    assert accuracy.tolerated == SETTINGS.margins.accuracy
    assert accuracy.needed is not None and accuracy.power is not None
    assert 2000 < accuracy.needed < 10_000
    assert 0.2 < accuracy.power < 0.98


def test_figures_that_do_not_scatter_are_compared_all_the_same() -> None:
    """Every order has one value; there is no sample size to give."""
    candidate = captures(600)
    one = values_for(candidate, 10.0).assign(value=1.0)
    found = reported(candidate, one, VALUES.assign(value=1.0))
    value = metric(found, "business figure")
    assert value.looks[-1].p == 1.0
    assert (value.needed, value.ahead) == (None, None)


def test_a_difference_far_beyond_the_scatter_needs_as_few_as_can_be_compared() -> None:
    """Latencies of 40 ms, give or take a hundredth, for which there is nothing to solve."""
    candidate = captures(600)
    candidate["latency_ms"] = 40.0 + np.arange(600) % 2 / 100
    champion = CHAMPION.assign(latency_ms=40.0 + np.arange(len(CHAMPION)) % 2 / 100)
    now = BEGIN + timedelta(days=1)
    release = rolling(mode="ab", share=0.2)
    found = metric(report_ab(release, champion, candidate, posted(), SETTINGS, now=now), "latency")
    assert found.looks
    assert (found.needed, found.power) == (30, 1.0)


def test_the_looks_end_with_the_decision() -> None:
    """What becomes of the candidate is what the sequential test says."""
    candidate = captures(2000, errors=0.3)
    found = reported(candidate)
    release = rolling(mode="ab", share=0.2)
    now = BEGIN + timedelta(days=1)
    observation = observe_rollout(release, CHAMPION, candidate, posted(), SETTINGS, now=now)
    assert (found.answer, found.because) == (observation.answer, observation.because) == ("roll back", "harm")
    assert found.seen_until == observation.decided_at


def test_an_empty_test_has_nothing_to_compare() -> None:
    """And no picture."""
    found = reported(captures(0), days=8)
    assert all(each.lacking for each in found.metrics)
    assert found.answer == "roll back"
    assert ab_pictures(found) == {}


def test_a_canary_is_no_a_b_test() -> None:
    """Who asks for one made a mistake."""
    with pytest.raises(ValueError, match="A canary release is no A/B test"):
        reported(captures(10), mode="canary", share=0.1)


def test_the_picture_has_a_panel_for_each_metric_that_was_looked_at() -> None:
    """A chart, and no photograph."""
    candidate = captures(600)
    found = reported(candidate, values_for(candidate, 14.0), VALUES)
    picture = ab_pictures(found)[METRICS]
    assert places_of(picture) == {}
    assert np.frombuffer(picture, dtype=np.uint8).size < 100_000
