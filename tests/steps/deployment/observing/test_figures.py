"""Each figure says what both came to, and whether the difference is beyond what is tolerated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from materializers.observation import Compared
from steps.deployment.observing.figures import Arm, Levels, of_labels, of_requests, of_values
from steps.deployment.observing.outcomes import united
from steps.deployment.observing.settings import Margins
from tests.steps.deployment.observing.traffic import captures, labels_for, outcomes, values_for

LEVELS = Levels(harm=0.001, level=0.01)
MARGINS = Margins()
CHAMPION = captures(3600, seed=9, prefix="h")


def arms(candidate: pd.DataFrame, feedback: pd.DataFrame | None = None) -> tuple[Arm, Arm]:
    """The champion and a candidate."""
    champion, ours = outcomes(CHAMPION, feedback), outcomes(candidate, feedback)
    labels = united(champion, ours)
    return Arm(champion, labels[0]), Arm(ours, labels[1])


def compared(candidate: pd.DataFrame, *, sizes: tuple[int, int] | None = None) -> dict[str, Compared]:
    """What needs no feedback, by the name of the figure, or of the signal where it has one only."""
    champion, ours = arms(candidate)
    whole = (len(champion.outcomes), len(ours.outcomes))
    found = of_requests(champion, ours, sizes or whole, MARGINS, LEVELS, classes=3, bounded=True)
    return {each.signal if each.figure == "share" else each.figure: each for each in found}


def test_what_is_as_good_is_shown_not_to_be_worse_in_every_figure() -> None:
    """With bounds that hold what is true, between nothing and what is tolerated."""
    for each in compared(captures(2000)).values():
        assert each.shown and not each.harmful
        assert each.low is not None and each.high is not None and each.worse is not None
        assert each.low <= each.worse <= each.high < each.margin
        assert (each.n_champion, each.n_candidate) == (3600, 2000)


@pytest.mark.parametrize(
    ("worse", "figure"),
    [
        ({"errors": 0.03}, "errors"),
        ({"rejections": 0.06}, "rejections"),
        ({"slower": 2.0}, "median"),
        ({"slower": 2.0}, "95th percentile"),
        ({"abstention": 0.15}, "abstention"),
        ({"confidence": 2.0}, "top probability"),
        ({"only": "shoes"}, "class shares"),
    ],
)
def test_a_figure_is_harmful_where_even_its_lower_bound_is_beyond_what_is_tolerated(
    worse: dict[str, object], figure: str
) -> None:
    """And only there, so that picture and decision agree."""
    found = compared(captures(1500, **worse))  # type: ignore[arg-type]
    assert found[figure].harmful
    for each in found.values():
        assert each.low is not None and each.high is not None
        assert each.harmful == (each.low > each.margin)
        assert each.shown == (each.high < each.margin)


def test_only_the_first_requests_are_looked_at() -> None:
    """A look sees nothing of what comes after it."""
    first, whole = captures(300), captures(300)
    whole.loc[200:, "status"] = 500
    whole.loc[200:, "latency_ms"] = 1e6
    assert compared(first, sizes=(1800, 200)) == compared(whole, sizes=(1800, 200))


def test_latencies_are_those_of_answers() -> None:
    """What fails at once is no fast answer."""
    failing = captures(2000, errors=0.5)
    failing.loc[failing["status"] == 503, "latency_ms"] = 0.1
    found = compared(failing)
    assert found["median"].candidate == pytest.approx(compared(captures(2000))["median"].candidate, rel=0.1)
    assert found["median"].n_candidate == (failing["status"] == 200).sum()


def test_the_bounds_of_a_ratio_are_those_of_the_true_one() -> None:
    """A candidate that takes 1.3 times as long, in about all of 20 samples of it."""
    inside = 0
    for seed in range(20):
        found = compared(captures(400, seed=seed, slower=1.3))["median"]
        assert found.low is not None and found.high is not None
        inside += found.low <= 0.3 <= found.high
    assert inside >= 19


def test_without_answers_a_figure_lacks_them_and_says_whose() -> None:
    """It neither harms nor shows anything."""
    found = compared(captures(40, errors=1.0))
    assert found["errors"].harmful
    for name in ("median", "95th percentile", "abstention", "top probability", "class shares"):
        assert (found[name].harmful, found[name].shown, found[name].worse) == (False, False, None)
        assert "0 of the candidate and 3600 of the champion" in (found[name].lacking or "")


def test_answers_without_a_probability_have_no_distribution_of_it() -> None:
    """Their classes are compared all the same."""
    candidate = captures(400)
    candidate["probability"] = np.nan
    found = compared(candidate)
    assert found["top probability"].lacking
    assert found["class shares"].shown


def test_latencies_of_nothing_are_compared_by_the_milliseconds_that_are_tolerated() -> None:
    """Nothing is divided by zero."""
    champion, ours = arms(captures(400))
    for arm in (champion, ours):
        arm.outcomes.latency_ms[:] = 0.0
    found = of_requests(champion, ours, (3600, 400), MARGINS, LEVELS, classes=3, bounded=True)
    assert [each.shown for each in found if each.signal == "latency"] == [True, True]


def test_accuracy_is_given_as_such_and_compared_by_what_is_wrong() -> None:
    """Fewer right is worse."""
    candidate = captures(2000, accuracy=0.7)
    feedback = pd.concat([labels_for(candidate), labels_for(CHAMPION)], ignore_index=True)
    champion, ours = arms(candidate, feedback)
    (found,) = of_labels(champion, ours, (3600, 2000), MARGINS.accuracy, LEVELS, bounded=True)
    assert found.champion == pytest.approx(0.9, abs=0.02)
    assert found.candidate == pytest.approx(0.7, abs=0.03)
    assert found.worse == pytest.approx(0.2, abs=0.03)
    assert found.harmful
    (few,) = of_labels(champion, ours, (0, 5), MARGINS.accuracy, LEVELS, bounded=True)
    assert few.lacking == "labels: 5 of the candidate and 0 of the champion"


def values(candidate: float, *, sizes: tuple[int, int] = (3600, 2000), gain: bool = True) -> Compared:
    """Business figures of 10 on average, beside a candidate's."""
    rows = captures(2000)
    feedback = pd.concat([values_for(rows, candidate), values_for(CHAMPION, 10.0, seed=5)], ignore_index=True)
    (found,) = of_values(*arms(rows, feedback), sizes, 0.1, LEVELS, gain=gain)
    return found


@pytest.mark.parametrize(
    ("mean", "gain", "harmful", "shown"),
    [
        (10.0, True, False, True),
        (7.0, True, True, False),
        (13.0, True, False, True),
        (13.0, False, True, False),
        (7.0, False, False, True),
    ],
)
def test_a_business_figure_is_worse_in_the_direction_that_is_configured(
    mean: float, gain: bool, harmful: bool, shown: bool
) -> None:
    """Less of a gain, more of a cost."""
    found = values(mean, gain=gain)
    assert (found.harmful, found.shown) == (harmful, shown)
    assert found.worse == pytest.approx((1 - mean / 10) * (1 if gain else -1), abs=0.05)


def test_bounds_of_a_mean_hold_what_is_true_as_often_as_they_say() -> None:
    """Of 200 samples, with a candidate that is 5 % worse; the two levels together are 1.1 %."""
    generator, inside = np.random.default_rng(0), 0
    champion, ours = arms(captures(300))
    for _ in range(200):
        drawn: Sequence[np.ndarray] = [generator.gamma(4.0, 2.5, 3600), generator.gamma(4.0, 2.375, 300)]
        for arm, each in zip((champion, ours), drawn, strict=True):
            arm.__dict__["valued"] = (np.arange(len(each)), each)
        (found,) = of_values(champion, ours, (3600, 300), 0.1, LEVELS, gain=True)
        assert found.low is not None and found.high is not None
        inside += found.low <= 0.05 <= found.high
    assert inside >= 194


def test_too_few_business_figures_have_no_mean_to_compare() -> None:
    """Nor does a champion whose mean is nothing: a share of it is tolerated."""
    assert "5 of the candidate" in (values(10.0, sizes=(3600, 5)).lacking or "")
