"""Tests and intervals for paired proportions, against published figures, brute force and enumeration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import multinomial, norm
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from steps.evaluation.comparison.paired import (
    harm_p,
    holm,
    inferiority_p,
    interval,
    power_if_equal,
    score,
)

ALPHA = 0.025


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int, int]:
    """Rows, and how many only one model has right."""
    n = draw(st.integers(1, 3000))
    lost = draw(st.integers(0, n))
    return n, lost, draw(st.integers(0, n - lost))


def passing(n: int, margin: float, discordance: float, difference: float) -> float:
    """How often a challenger of this true difference passes: every outcome, weighted by its probability."""
    lost, won = (discordance - difference) / 2, (discordance + difference) / 2
    most = min(n, round(n * discordance + 8 * np.sqrt(n * discordance) + 8))
    b, c = (each.ravel() for each in np.meshgrid(np.arange(most + 1), np.arange(most + 1)))
    b, c = b[b + c <= n], c[b + c <= n]
    weights = multinomial.pmf(np.stack([b, c, n - b - c], axis=1), n, [lost, won, 1 - lost - won])
    return float(weights[inferiority_p(n, b, c, margin) <= ALPHA].sum())


@pytest.mark.parametrize(
    ("n", "lost", "won", "alpha", "expected"),
    [
        (21, 7, 1, 0.025, (-0.517, -0.026)),  # Fagerland, Lydersen, Laake 2014: airway hyper-responsiveness
        (50, 2, 12, 0.025, (0.0611, 0.3447)),  # Newcombe 1998, Statistics in Medicine 17, 2635-2650
        (618, 25, 28, 0.05, (-0.0148, 0.0247)),  # R, PropCIs 0.3: scoreci.mp(25, 28, 618, 0.90)
    ],
)
def test_intervals_are_those_that_were_published(
    n: int, lost: int, won: int, alpha: float, expected: tuple[float, float]
) -> None:
    """To every digit that was printed."""
    digits = len(str(expected[0]).partition(".")[2])
    low, high = interval(n, lost, won, alpha)
    assert (round(float(low), digits), round(float(high), digits)) == expected


@settings(max_examples=60, deadline=None)
@given(counts(), st.floats(-0.9, 0.9))
def test_the_variance_is_the_most_likely_one(found: tuple[int, int, int], difference: float) -> None:
    """A search through all nuisance parameters finds no likelier one than the formula does."""
    n, lost, won = found
    least = max(0.0, -difference)
    most = least + (1 - abs(difference)) / 2

    def unlikely(q: float) -> float:
        shares = np.array([q, q + difference, 1 - 2 * q - difference])
        seen = np.array([lost, won, n - lost - won])
        return -float((seen * np.log(np.maximum(shares, 1e-300))).sum())

    searched = minimize_scalar(unlikely, bounds=(least, most), method="bounded", options={"xatol": 1e-12})
    ends = min((least, most, float(searched.x)), key=unlikely)
    variance = 2 * ends + difference * (1 - difference)
    assume(variance > 1e-4)
    expected = (won - lost - n * difference) / np.sqrt(n * variance)
    assert score(n, lost, won, difference) == pytest.approx(expected, rel=1e-3, abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(counts())
def test_without_a_margin_it_is_mcnemars_test(found: tuple[int, int, int]) -> None:
    """As statsmodels computes it, without a continuity correction."""
    n, lost, won = found
    assume(lost + won > 0)
    theirs = mcnemar([[n - lost - won, lost], [won, 0]], exact=False, correction=False)
    assert score(n, lost, won, 0.0) ** 2 == pytest.approx(theirs.statistic)
    assert harm_p(n, lost, won, 0.0) == pytest.approx(
        theirs.pvalue / 2 if lost >= won else 1 - theirs.pvalue / 2
    )


@given(counts(), st.floats(-0.99, 0.99))
def test_the_models_changed_round_change_the_sign(found: tuple[int, int, int], difference: float) -> None:
    """Neither model has an advantage by its place."""
    n, lost, won = found
    assert score(n, lost, won, difference) == pytest.approx(-score(n, won, lost, -difference), abs=1e-6)
    low, high = interval(n, lost, won, ALPHA)
    assert np.allclose(interval(n, won, lost, ALPHA), (-high, -low), rtol=0, atol=1e-9)


@given(counts())
def test_the_statistic_falls_as_the_hypothesis_rises(found: tuple[int, int, int]) -> None:
    """So that an interval has two ends and nothing excluded between them."""
    differences = np.linspace(-0.999, 0.999, 201)
    assert (np.diff(score(*found, differences)) <= 1e-9).all()


@given(counts(), st.floats(0.001, 0.5))
def test_one_more_lost_row_never_speaks_for_the_challenger(
    found: tuple[int, int, int], margin: float
) -> None:
    """A row that turns from agreed to lost raises the p-value of inferiority and lowers that of harm."""
    n, lost, won = found
    assume(lost + won < n)
    assert inferiority_p(n, lost + 1, won, margin) >= inferiority_p(n, lost, won, margin) - 1e-12
    assert harm_p(n, lost + 1, won, margin) <= harm_p(n, lost, won, margin) + 1e-12


@given(counts(), st.floats(0.001, 0.3))
def test_the_lower_bound_and_the_test_agree(found: tuple[int, int, int], margin: float) -> None:
    """The bound is above -margin just where inferiority is excluded; the estimate is inside."""
    n, lost, won = found
    low, high = (float(bound) for bound in interval(n, lost, won, ALPHA))
    assert -1 <= low <= (won - lost) / n <= high <= 1
    assume(abs(low + margin) > 1e-9)
    assert (low > -margin) == (inferiority_p(n, lost, won, margin) < ALPHA)


def test_models_that_never_disagree_have_wilsons_interval() -> None:
    """No discordant row of n: z² ÷ (n + z²) either way, and 189 rows are the fewest that exclude 2 points."""
    z2 = norm.isf(ALPHA) ** 2
    for n in (1, 10, 1000):
        assert np.allclose(interval(n, 0, 0, ALPHA), (-z2 / (n + z2), z2 / (n + z2)), rtol=1e-9)
    assert inferiority_p(188, 0, 0, 0.02) > ALPHA > inferiority_p(189, 0, 0, 0.02)
    assert harm_p(10, 0, 0, 0.0) == 0.5


def test_models_that_always_disagree_have_an_interval_to_the_end() -> None:
    """All rows lost: the difference may be -1, and no loss can be excluded."""
    low, high = interval(10, 10, 0, ALPHA)
    assert low == -1
    assert high == pytest.approx(-0.4449, abs=0.0001)
    assert inferiority_p(10, 10, 0, 0.02) > 0.999
    assert harm_p(10, 10, 0, 0.05) < 0.002


def test_without_rows_there_is_no_number() -> None:
    """And impossible counts are refused."""
    assert np.isnan([*interval(0, 0, 0, ALPHA), inferiority_p(0, 0, 0, 0.02), harm_p(0, 0, 0, 0.0)]).all()
    for impossible in ((10, -1, 0), (10, 0, -1), (10, 6, 5)):
        with pytest.raises(ValueError, match="Counts of discordant rows"):
            score(*impossible, 0.0)


def test_many_comparisons_at_once_are_those_one_by_one() -> None:
    """Arrays of counts broadcast."""
    n, lost, won = np.array([[300], [2000]]), np.array([5, 40, 0]), np.array([9, 30, 0])
    low, high = interval(n, lost, won, ALPHA)
    assert low.shape == high.shape == (2, 3)
    one = interval(2000, 40, 30, ALPHA)
    assert (low[1, 1], high[1, 1]) == one
    assert inferiority_p(n, lost, won, 0.02)[1, 1] == inferiority_p(2000, 40, 30, 0.02)


@pytest.mark.parametrize("n", [100, 300, 1000])
def test_a_model_worse_by_the_margin_passes_seldom(n: int) -> None:
    """Exactly, over every outcome: at most 4 % at any discordance, and fewer when it is worse than that."""
    sizes = [passing(n, 0.02, discordance, -0.02) for discordance in (0.02, 0.04, 0.08, 0.12)]
    assert max(sizes) <= 0.04
    assert passing(n, 0.02, 0.08, -0.04) < sizes[2]


@pytest.mark.parametrize(("n", "discordance"), [(300, 0.06), (1000, 0.04), (2000, 0.06)])
def test_the_power_is_that_of_every_outcome_weighted(n: int, discordance: float) -> None:
    """The approximation is within three points of the exact figure."""
    exact = passing(n, 0.02, discordance, 0.0)
    assert power_if_equal(n, round(n * discordance), 0.02, ALPHA) == pytest.approx(exact, abs=0.03)


def test_models_that_agree_on_every_row_pass_or_do_not() -> None:
    """Without disagreement nothing is left to chance but the number of rows."""
    assert power_if_equal(188, 0, 0.02, ALPHA) == 0
    assert power_if_equal(189, 0, 0.02, ALPHA) == 1


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """4,000 test sets of 300 rows: 95 % of the intervals, give or take chance, and each side alone."""
    drawn = np.random.default_rng(0).multinomial(300, [0.05, 0.03, 0.92], size=4000)
    low, high = interval(300, drawn[:, 0], drawn[:, 1], ALPHA)
    assert np.mean((low <= -0.02) & (high >= -0.02)) >= 0.94
    assert max(np.mean(low > -0.02), np.mean(high < -0.02)) <= 0.035


@pytest.mark.parametrize("size", [1, 2, 7])
def test_holm_is_that_of_statsmodels(size: int) -> None:
    """Equal p-values and large ones among them; theirs collects garbage at each call, so not for many."""
    p = np.random.default_rng(size).choice([0.001, 0.004, 0.01, 0.02, 0.2, 0.9], size)
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.integers(0, 12))
def test_what_is_not_assessed_is_no_member_of_the_family(p: list[float], place: int) -> None:
    """A NaN anywhere leaves the others as they are without it."""
    place = min(place, len(p))
    adjusted = holm([*p[:place], np.nan, *p[place:]])
    assert np.isnan(adjusted[place])
    assert np.delete(adjusted, place) == pytest.approx(holm(p))


def test_each_row_is_a_family_of_its_own() -> None:
    """And a family without members stays one."""
    families: NDArray[np.float64] = np.random.default_rng(0).random((5, 4))
    assert np.array_equal(holm(families), [holm(family) for family in families])
    assert holm([]).shape == (0,)
