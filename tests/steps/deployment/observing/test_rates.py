"""Shares are compared by a test that keeps its level where events are few and where levels are tiny."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom
from statsmodels.stats.proportion import test_proportions_2indep as by_score

from steps.deployment.observing.rates import as_bad_p, bounds, likeliest, signed_root, worse_p

SITUATIONS = [
    (20, 180, 0.001, 0.005),
    (65, 585, 0.001, 0.005),
    (400, 3600, 0.002, 0.005),
    (20, 180, 0.1, 0.025),
    (200, 1800, 0.1, 0.025),
    (500, 500, 0.1, 0.05),
    (1234, 11_106, 0.15, 0.025),
    (200, 1800, 0.05, 0.0),
    (40, 360, 0.5, 0.0),
]
"""Candidate, champion, the champion's true share, and by how much the candidate's is larger."""


@pytest.mark.parametrize(("n", "m", "share", "margin"), SITUATIONS)
def test_neither_test_errs_more_often_than_its_level_says(
    n: int, m: int, share: float, margin: float
) -> None:
    """Counted out over all tables, where the true difference is just the margin; down to a millionth."""
    x1, x2 = np.arange(n + 1), np.arange(m + 1)
    weight1, weight2 = binom.pmf(x1, n, share + margin), binom.pmf(x2, m, share)
    x1, weight1 = x1[weight1 > 1e-12], weight1[weight1 > 1e-12]
    x2, weight2 = x2[weight2 > 1e-10], weight2[weight2 > 1e-10]
    step = max(1, len(x2) // 80)  # of a large champion some tables stand for their neighbours
    weight2 = np.add.reduceat(weight2, np.arange(0, len(x2), step))
    x2 = x2[::step][: len(weight2)] + (step - 1) / 2
    weights = weight1[:, None] * weight2
    for test in (worse_p, as_bad_p):
        p = test(x1[:, None], n, x2, m, margin)
        for level in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.02):
            assert weights[p <= level].sum() <= level


def test_with_many_events_it_is_the_score_test() -> None:
    """As statsmodels has it, for a difference of nothing and for one of 2.5 points."""
    known = {"method": "score", "correction": False}
    worse = by_score(460, 4000, 3600, 36_000, value=0, alternative="larger", **known).pvalue
    assert worse_p(460, 4000, 3600, 36_000, 0.0) == pytest.approx(worse, rel=0.25)
    as_bad = by_score(440, 4000, 3600, 36_000, value=0.025, alternative="smaller", **known).pvalue
    assert as_bad_p(440, 4000, 3600, 36_000, 0.025) == pytest.approx(as_bad, rel=0.25)


def test_no_event_in_many_requests_excludes_a_share_as_the_binomial_distribution_does() -> None:
    """0.995 to the 920th, and a little on the safe side."""
    assert as_bad_p(0, 920, 0, 8280, 0.005) == pytest.approx(0.995**920, rel=0.1)
    assert as_bad_p(0, 920, 0, 8280, 0.005) >= 0.995**920


def test_what_always_fails_is_known_after_twenty_requests() -> None:
    """Beyond any level."""
    assert worse_p(20, 20, 0, 180, 0.005) < 1e-20
    assert as_bad_p(20, 20, 0, 180, 0.005) > 0.99


def test_without_requests_nothing_is_known() -> None:
    """On either side, and the bounds are all there is."""
    for table in ((0, 0, 5, 100), (5, 100, 0, 0), (0, 0, 0, 0)):
        assert worse_p(*table, 0.01) == as_bad_p(*table, 0.01) == 1
        low, high = bounds(*table, harm=0.01, level=0.01)
        assert (float(low), float(high)) == (-1, 1)


def test_a_bound_is_just_where_the_test_changes_its_answer() -> None:
    """The lower by the test of harm, the upper by that of the promotion, each with its level."""
    table = (30, 400, 180, 3600)
    low, high = bounds(*table, harm=0.001, level=0.01)
    assert worse_p(*table, float(low) - 1e-6) <= 0.001 < worse_p(*table, float(low) + 1e-6)
    assert as_bad_p(*table, float(high) + 1e-6) <= 0.01 < as_bad_p(*table, float(high) - 1e-6)


def test_many_tables_are_judged_as_each_by_itself() -> None:
    """Arrays in, arrays out."""
    counts = np.array([0, 3, 20])
    whole = worse_p(counts, 200, [0, 10, 40], 1800, 0.01)
    assert whole.tolist() == [
        float(worse_p(count, 200, other, 1800, 0.01))
        for count, other in zip(counts, (0, 10, 40), strict=True)
    ]


def test_the_likeliest_shares_differ_by_the_margin() -> None:
    """And no others with that difference are likelier."""
    x1, n1, x2, n2, margin = (np.array(each, dtype=float) for each in (30, 400, 180, 3600, 0.01))
    first, second = likeliest(x1, n1, x2, n2, margin)
    assert first - second == pytest.approx(0.01)
    near = np.linspace(0.02, 0.12, 2001)
    likelihood = binom.logpmf(30, 400, near) + binom.logpmf(180, 3600, near - 0.01)
    assert first == pytest.approx(near[likelihood.argmax()], abs=1e-4)


def test_a_share_on_the_other_side_of_the_margin_is_no_evidence() -> None:
    """The root has the sign of what was measured."""
    assert signed_root(10, 100, 90, 900, 0.05, side=1) < 0 < signed_root(30, 100, 90, 900, 0.05, side=1)
