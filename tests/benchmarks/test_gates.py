"""What the gate's simulations draw is what they say, and the gate's own tests judge it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from benchmarks.gates import promotion, series
from benchmarks.gates.promotion import (
    answered_to,
    bare_passes,
    decided,
    decided_alike,
    drawn,
    harmed,
    overall_passes,
    stands,
)
from benchmarks.gates.relabelled import Judged, Trial, claims, judge, most_taken_for, trial
from benchmarks.gates.series import passed_over, promoted, stopped_in_time
from benchmarks.gates.shipped import DEMO_POLICY, POLICY, passes
from benchmarks.training.labelled import Features, Labelled
from materializers.evaluation.comparison import Against
from materializers.evaluation.metric import Measured, Metric
from materializers.image_dataset import ImageDataset
from steps.evaluation.comparison.compare import Answers, Other, Rows, compare
from steps.evaluation.comparison.settings import ComparisonSettings

CLASSES = ("hat", "shirt", "shoes")
AGAINST: tuple[Against, ...] = ("champion", "anchor")


def test_drawn_test_sets_have_the_rows_the_discordance_and_the_difference_they_were_drawn_with() -> None:
    """Every row in one cell; the same seed draws the same."""
    counts = drawn(1000, 0.08, -0.02, 3000)
    assert (counts.sum(axis=(1, 2, 3)) == 1000).all()
    lost, won, _ = counts.sum(axis=(0, 1, 2)) / (3000 * 1000)
    assert (lost, won) == (pytest.approx(0.05, abs=0.001), pytest.approx(0.03, abs=0.001))
    kinds = counts.sum(axis=(0, 1, 3)) / (3000 * 1000)
    assert kinds == pytest.approx(promotion.KINDS, abs=0.002)
    assert np.array_equal(counts, drawn(1000, 0.08, -0.02, 3000))


def test_a_bare_threshold_promotes_half_of_those_that_are_worse_by_the_margin() -> None:
    """The overall rule promotes one in forty, and all that are much better."""
    worse, better = drawn(2000, 0.06, -0.02, 1000), drawn(2000, 0.06, 0.05, 100)
    assert bare_passes(worse).mean() == pytest.approx(0.5, abs=0.06)
    assert overall_passes(worse).mean() <= 0.05
    assert overall_passes(better).all()


def test_a_lost_class_and_a_lost_golden_set_are_harm_in_the_simulation_too() -> None:
    """In each of 50 test sets; what is lost there is won elsewhere, so that the overall rule passes."""
    counts = np.zeros((50, promotion.CLASSES, len(promotion.KINDS), 3), dtype=np.int64)
    counts[..., 2] = 200
    lost_class, lost_golden = counts.copy(), counts.copy()
    lost_class[:, 0, :, 0] = lost_class[:, 1:3, :, 1] = 30
    lost_golden[:, :, promotion.GOLDEN, 0] = lost_golden[:, :, promotion.NEITHER, 1] = 8
    for each, of_subsets, of_classes in ((counts, 0, 0), (lost_class, 0, 1), (lost_golden, 1, 0)):
        assert overall_passes(each).all()
        assert [found.mean() for found in harmed(each)] == [of_subsets, of_classes]
        assert (stands(each) == (not of_subsets and not of_classes)).all()


def test_a_class_with_few_rows_is_not_judged_in_the_simulation_either() -> None:
    """49 rows, all lost."""
    counts = np.zeros((1, promotion.CLASSES, len(promotion.KINDS), 3), dtype=np.int64)
    counts[..., 2] = 2000
    counts[0, 0] = [[0, 0, 0], [0, 0, 0], [49, 0, 0]]
    assert not harmed(counts)[1].any()
    counts[0, 0, promotion.NEITHER, 0] = 50
    assert harmed(counts)[1].all()


def test_the_rows_of_a_simulated_test_set_have_its_counts() -> None:
    """In all, of each class, of the golden set and of the new rows."""
    counts = drawn(700, 0.1, -0.03, 1)[0]
    found = compare(*answered_to(counts), ComparisonSettings())
    parts = [found.overall, found.golden, found.new_rows, *found.classes.values()]
    by_kind = counts.sum(axis=0)
    expected = [
        counts.sum(axis=(0, 1)),
        by_kind[promotion.GOLDEN],
        by_kind[promotion.NEW],
        *counts.sum(axis=1),
    ]
    for part, (lost, won, alike) in zip(parts, expected, strict=True):
        assert part is not None
        assert (part.n, part.only_reference, part.only_challenger) == (lost + won + alike, lost, won)


def test_the_gate_itself_decides_on_simulated_test_sets_as_their_counts_do() -> None:
    """Of 60 test sets, some pass and some do not; with the demo's margin the gate lets more through."""
    counts = np.concatenate([drawn(2000, 0.06, difference, 20) for difference in (-0.02, 0.0, 0.03)])
    overall, whole = decided(counts)
    assert 0 < whole.sum() <= overall.sum() < len(counts)
    assert (overall == overall_passes(counts)).all()
    assert (whole == stands(counts)).all()
    assert decided_alike(counts) == 1
    assert decided_alike(counts, DEMO_POLICY) < 1


def test_the_gate_itself_decides_on_a_series_as_the_simulation_does() -> None:
    """Beside champion and anchor: 100 challengers, each truly one point worse."""
    generator = np.random.default_rng(0)
    other = generator.random((100, 2000)) < 0.92
    challenger = other ^ (generator.random(other.shape) < np.where(other, 0.027, 0.19))
    fast = passed_over(challenger, other, tested=True)
    assert 0 < fast.sum() < len(fast)
    names = np.array(["shirt", "hat"], dtype=object)
    nowhere = np.zeros(other.shape[1], dtype=bool)
    rows = Rows(np.full(other.shape[1], "hat", dtype=object), golden=nowhere, new=nowhere)
    for right, before, passed in zip(challenger, other, fast, strict=True):
        ours, theirs = (Answers(names[each.astype(int)], ("hat", "shirt")) for each in (right, before))
        for against in AGAINST:
            found = compare(rows, ours, Other(theirs, against), POLICY.comparison).measured()
            wanted = f"accuracy_difference_to_{against}"
            assert passes(each for each in found if each.metric == wanted) == passed


def test_only_rules_on_what_was_measured_judge_it() -> None:
    """An accuracy alone is judged by the shipped policy's limit of it; what has no number passes nothing."""
    enough, too_low = (
        Measured(metric="accuracy", value=Metric(value=POLICY.rules["accuracy"].limit + off, n=100))
        for off in (0.0, -0.001)
    )
    assert (passes([enough]), passes([too_low]), passes([])) == (True, False, False)
    assert not passes([Measured(metric="accuracy", value=None)])


def test_every_claim_about_promotions_holds() -> None:
    """On fewer simulations; the bare threshold breaks the bars of false promotions and false alarms."""
    found = promotion.measure(500)
    assert all(claim.holds for claim in found)
    promotions = [claim for claim in found if "promoted on overall accuracy" in claim.name]
    assert len(promotions) == len(promotion.SIZES)
    for claim in promotions:
        assert claim.peer is not None and claim.peer > 0.4
    (power,) = (claim for claim in found if "pass the overall rule" in claim.name)
    assert "at n = 300: 0." in power.name


def test_each_challenger_of_a_series_is_one_point_worse() -> None:
    """The bare threshold promotes nearly all ten, on one test set or on new ones, so that ten are lost."""
    for fresh in (False, True):
        promotions = promoted(40, 0.04, fresh=fresh, anchored=False)
        assert promotions.mean() > 9
        assert stopped_in_time(promotions) == 0


def test_a_series_is_stopped_by_the_anchor() -> None:
    """Two promotions are two points; a third is rare, and not a single one is no rule."""
    promotions = promoted(200, 0.06, fresh=True, anchored=True)
    assert 0.5 < promotions.mean() < 2
    assert stopped_in_time(promotions) >= 0.95
    (claim,) = series.measure(100)
    assert claim.holds and claim.peer == 0


def test_three_lost_points_are_too_many() -> None:
    """Each promotion is a point."""
    assert stopped_in_time(np.array([0, 1, 2, 3, 10])) == 0.6


def answered(true: NDArray[np.int64], wrong: NDArray[np.int64]) -> NDArray[np.float64]:
    """Probabilities whose largest is at the right class, but for the wrong rows."""
    given = true.copy()
    given[wrong] = (given[wrong] + 1) % len(CLASSES)
    return 0.1 + 0.7 * np.eye(len(CLASSES))[given]


def test_a_challenger_that_lost_a_class_is_refused_though_the_accuracy_is_within_the_margin() -> None:
    """600 rows of three classes: 12 of 100 hats lost, and the shirts better by as much."""
    true = np.repeat([0, 1, 2], [100, 250, 250])
    champion = answered(true, np.arange(100, 112))
    lost = judge(true, answered(true, np.arange(12)), champion, CLASSES)
    same = judge(true, champion, champion, CLASSES)
    assert (lost.refused, lost.bare) == (True, False)
    assert lost.accuracy == same.accuracy == pytest.approx(588 / 600)
    assert (same.refused, same.bare) == (False, False)


def test_a_challenger_below_an_absolute_limit_is_refused_whatever_the_champion_is() -> None:
    """Of each class 0.80, of all 0.85."""
    true = np.repeat([0, 1, 2], 200)
    poor = answered(true, np.arange(41))
    found = judge(true, poor, poor, CLASSES)
    assert (found.refused, found.bare) == (True, False)
    poorer = answered(true, np.flatnonzero(np.arange(600) % 6 == 0))
    assert judge(true, poorer, poorer, CLASSES).bare


@pytest.fixture(scope="module")
def clouds() -> tuple[Labelled, Features]:
    """Rows without pictures, a cloud a class."""
    numbers = np.arange(3000) % len(CLASSES)
    image_ids = [f"{number:064x}" for number in range(len(numbers))]
    index = pd.DataFrame({"image_id": image_ids, "label": [CLASSES[number] for number in numbers]})
    rows = np.random.default_rng(0).normal(size=(len(numbers), 20)).astype(np.float32)
    rows[np.arange(len(numbers)), numbers] += 3.5
    data = Labelled("nothing", ImageDataset(index, {}), CLASSES)
    places = {each: place for place, each in enumerate(image_ids)}
    return data, Features(rows, numbers.astype(np.int64), places, len(CLASSES))


def test_the_more_rows_are_relabelled_the_more_is_lost(clouds: tuple[Labelled, Features]) -> None:
    """The check of the data finds most of them; none relabelled is not refused."""
    data, kept = clouds
    found = trial(data, kept, kept.rows, seed=1)
    assert not found.none.refused
    assert found.many.accuracy < found.few.accuracy <= found.none.accuracy
    assert found.unlike.accuracy < found.none.accuracy
    assert found.found > 0.5
    assert trial(data, kept, kept.rows, seed=1) == found


def test_a_class_is_relabelled_as_the_one_that_it_is_most_taken_for() -> None:
    """By the mean probability that its own rows give to each other class."""
    probabilities = np.array([[0.4, 0.5, 0.1], [0.1, 0.6, 0.3], [0.0, 0.0, 1.0]])
    assert most_taken_for(probabilities, np.array([1, 1, 2]), 1) == 0
    assert most_taken_for(probabilities, np.array([1, 0, 2]), 1) == 0
    assert most_taken_for(probabilities, np.array([0, 1, 2]), 1) == 2


def test_the_claims_say_what_the_relabelling_cost() -> None:
    """The loss is that against the same training without it; what is only shown holds."""
    clean, bad = Judged(False, False, 0.95), Judged(True, False, 0.93)
    refused = [Trial(none=clean, few=clean, many=bad, unlike=clean, found=0.8)] * 2
    many, unlike, few, labels = claims("pictures", refused)
    assert (many.ours, many.peer, many.holds) == (1, 0, True)
    assert "costs 2.0 points (where none is relabelled: 0.00)" in many.name
    assert "costs 0.0 points" in unlike.name
    assert (few.ours, few.bar, few.holds, labels.ours) == (0, "shown", True, 0.8)
    missed, *_ = claims("pictures", [Trial(none=clean, few=clean, many=clean, unlike=bad, found=0.0)])
    assert not missed.holds
