"""What a comparison of two models' answers says, and what it does not take for harm."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from materializers.evaluation.comparison import Comparison
from steps.evaluation.comparison.compare import Answers, Other, Rows, compare, majority_baseline
from steps.evaluation.comparison.settings import ComparisonSettings

CLASSES = ("bag", "dress", "shoe")
DEFAULTS = ComparisonSettings()


def some_rows(n: int = 600, seed: int = 0, classes: tuple[str, ...] = CLASSES) -> Rows:
    """Every class as often, a fifth golden, a quarter new."""
    generator = np.random.default_rng(seed)
    true = np.array([classes[number % len(classes)] for number in range(n)], dtype=object)
    kind = generator.random(n)
    return Rows(true, golden=kind < 0.2, new=kind > 0.75)


def right_but(rows: Rows, wrong: np.ndarray | list[int], classes: tuple[str, ...] = CLASSES) -> Answers:
    """The right answer to every row but these."""
    predicted = rows.true.copy()
    predicted[wrong] = [classes[classes.index(label) - 1] for label in rows.true[wrong]]
    return Answers(predicted, classes)


def harms(comparison: Comparison) -> dict[str, float | None]:
    """The adjusted p-values by metric, or class."""
    return {
        each.subject or each.metric: None if each.value is None else each.value.value
        for each in comparison.measured()
        if each.metric.endswith("harm")
    }


def test_a_comparison_counts_what_one_model_alone_has_right() -> None:
    """Rows 0 to 9 the challenger has wrong, 6 to 11 the champion."""
    rows = some_rows()
    found = compare(
        rows,
        right_but(rows, list(range(10))),
        Other(right_but(rows, list(range(6, 12))), version="7", model="d" * 64),
        DEFAULTS,
        left_out=3,
        decisions=4,
    )
    overall = found.overall
    assert overall is not None
    assert (overall.n, overall.only_reference, overall.only_challenger) == (600, 6, 2)
    assert overall.reference == pytest.approx(594 / 600)
    assert overall.challenger == pytest.approx(590 / 600)
    assert overall.difference.value == pytest.approx(-4 / 600)
    assert (found.against, found.version, found.model) == ("champion", "7", "d" * 64)
    assert (found.left_out, found.decisions_on_this_test_set) == (3, 4)
    assert found.compared_classes == CLASSES
    golden, new = found.golden, found.new_rows
    assert golden is not None and new is not None
    assert (golden.n, new.n) == (rows.golden.sum(), rows.new.sum())
    assert sum(part.n for part in found.classes.values()) == 600
    assert sum(part.only_reference for part in found.classes.values()) == 6


def test_a_model_beside_itself_passes_and_harms_nothing() -> None:
    """600 rows without a disagreement exclude a loss of two points."""
    rows = some_rows()
    answers = right_but(rows, list(range(40)))
    found = compare(rows, answers, Other(answers), DEFAULTS)
    assert found.overall is not None and found.overall.difference.low is not None
    assert found.overall.difference.low > -DEFAULTS.margin
    assert found.overall.p is not None and found.overall.p < DEFAULTS.alpha
    assert found.power == 1
    assert all(p is not None and p >= 0.5 for p in harms(found).values())


def test_a_class_that_is_lost_is_harm_though_the_whole_is_not() -> None:
    """A tenth of the shoes wrong, the bags better by as much: overall equal, shoes harmed, bags not."""
    rows = some_rows(3000)
    shoes, bags = (np.flatnonzero(rows.true == name)[:100] for name in ("shoe", "bag"))
    found = compare(rows, right_but(rows, shoes), Other(right_but(rows, bags)), DEFAULTS)
    assert found.overall is not None and found.overall.difference.value == 0
    p = harms(found)
    assert p["shoe"] is not None and p["shoe"] < DEFAULTS.harm_alpha
    assert p["bag"] == p["dress"] == 1


def test_a_loss_on_the_golden_set_alone_is_seen() -> None:
    """Thirteen golden rows lost, and as many others won: equal overall, the golden set is harmed."""
    rows = some_rows(2000)
    golden, others = (np.flatnonzero(chosen)[:13] for chosen in (rows.golden, ~rows.golden & ~rows.new))
    found = compare(rows, right_but(rows, golden), Other(right_but(rows, others)), DEFAULTS)
    p = harms(found)
    assert found.overall is not None and found.overall.difference.value == 0
    assert p["golden_harm"] is not None and p["golden_harm"] < DEFAULTS.harm_alpha
    assert p["new_rows_harm"] is not None and p["new_rows_harm"] >= 0.5
    tolerant = DEFAULTS.model_copy(update={"subset_margin": 0.05})
    again = harms(compare(rows, right_but(rows, golden), Other(right_but(rows, others)), tolerant))
    assert again["golden_harm"] == 1


def test_p_values_are_adjusted_over_what_is_judged_together() -> None:
    """Classes with too few rows are no part of it, nor is a subset without rows."""
    classes = ("bag", "dress", "shoe", "sock")
    true = np.array(["bag"] * 200 + ["dress"] * 200 + ["shoe"] * 200 + ["sock"] * 49, dtype=object)
    rows = Rows(true, golden=np.arange(649) < 100, new=np.zeros(649, dtype=bool))
    challenger = right_but(rows, [*range(20), *range(600, 640)], classes)
    found = compare(rows, challenger, Other(right_but(rows, [], classes)), DEFAULTS)
    bag, sock = found.classes["bag"], found.classes["sock"]
    assert bag.p is not None and bag.adjusted == pytest.approx(3 * bag.p)
    assert (sock.n, sock.only_reference, sock.p, sock.adjusted) == (49, 40, None, None)
    assert found.golden is not None and found.golden.adjusted == found.golden.p
    assert found.new_rows is None
    reasons = {each.subject or each.metric: each.reason for each in found.measured() if each.value is None}
    assert reasons == {
        "sock": "49 rows, of 50 that a class needs to be compared",
        "new_rows_harm": "none of the rows compared is of this kind",
    }


def test_models_of_other_classes_are_compared_on_those_they_share() -> None:
    """Rows of a new class do not count; an answer with a new class's name is wrong."""
    rows = some_rows(400, classes=(*CLASSES, "hat"))
    champion = right_but(rows, np.flatnonzero(rows.true == "hat"), (*CLASSES, "hat"))
    predicted = rows.true.copy()
    predicted[:8] = "hat"  # six of them are none
    found = compare(
        rows,
        Answers(predicted, (*CLASSES, "hat")),
        Other(Answers(champion.predicted, (*CLASSES, "glove", "sock"))),
        DEFAULTS,
        retired=("sock", "boot"),
    )
    assert (found.compared_classes, found.new_classes, found.dropped_classes, found.retired_classes) == (
        CLASSES,
        ("hat",),
        ("glove", "sock"),
        ("sock",),
    )
    (dropped,) = (each for each in found.measured() if each.metric == "dropped_classes")
    assert dropped.value is not None and (dropped.value.value, dropped.value.n) == (1, 5)
    assert found.overall is not None
    assert (found.overall.n, found.overall.only_reference, found.overall.only_challenger) == (300, 6, 0)
    assert set(found.classes) == set(CLASSES)


def test_a_row_without_an_answer_is_wrong() -> None:
    """For either model."""
    rows = some_rows(100)
    silent = Answers(np.full(100, None, dtype=object), CLASSES)
    found = compare(rows, silent, Other(right_but(rows, [])), DEFAULTS)
    assert found.overall is not None
    assert (found.overall.challenger, found.overall.only_reference) == (0, 100)


@pytest.mark.parametrize("classes", [("hat",), ()])
def test_without_a_class_in_common_nothing_is_assessed(classes: tuple[str, ...]) -> None:
    """And every number that a rule may ask for is missing with the reason."""
    rows = some_rows(30)
    found = compare(rows, right_but(rows, []), Other(Answers(rows.true, classes)), DEFAULTS)
    assert found.not_assessed == "no class is known to both the challenger and the champion"
    assert found.new_classes == CLASSES
    assert [each.value for each in found.measured()] == [None] * 5
    assert {each.reason for each in found.measured()} == {found.not_assessed}


def test_without_a_row_nothing_is_assessed() -> None:
    """The reason says how many rows were left out, and what brings new ones."""
    rows = some_rows(0)
    found = compare(rows, right_but(rows, []), Other(right_but(rows, [])), DEFAULTS, left_out=1234)
    assert found.not_assessed is not None
    assert "1,234 were left out" in found.not_assessed and "split.shares.test" in found.not_assessed


def test_answers_that_are_not_one_a_row_are_refused() -> None:
    """Nothing is compared by position that has no position."""
    rows = some_rows(10)
    with pytest.raises(ValueError, match="one a row"):
        compare(rows, Answers(rows.true[:9], CLASSES), Other(right_but(rows, [])), DEFAULTS)


def test_the_baseline_answers_the_commonest_class() -> None:
    """The first by name of those that are as common; without training rows there is none."""
    baseline = majority_baseline(["shoe", "bag", "shoe", "bag", "dress"], CLASSES, 4)
    assert baseline.answers.predicted.tolist() == ["bag"] * 4
    assert baseline.against == "majority class"
    with pytest.raises(ValueError, match="Without a training row"):
        majority_baseline([], CLASSES, 4)


def test_a_first_model_is_not_harmed_by_a_baseline_that_always_answers_one_class() -> None:
    """90 % of every class right: the baseline has all of its class right, and none of the others."""
    rows = some_rows(600)
    baseline = majority_baseline(["shoe"], CLASSES, 600)
    wrong = np.concatenate([np.flatnonzero(rows.true == name)[:20] for name in CLASSES])
    found = compare(rows, right_but(rows, wrong), baseline, DEFAULTS)
    measured = {each.subject or each.metric: each for each in found.measured()}
    others = {"accuracy_difference_to_champion", "dropped_classes", "golden_harm", "new_rows_harm"}
    assert set(measured) == {*others, *CLASSES}
    difference = measured["accuracy_difference_to_champion"].value
    assert difference is not None and difference.low is not None and difference.low > 0.4
    assert measured["shoe"].value is None
    assert measured["shoe"].reason == "the baseline that always answers this class is never wrong on it"
    assert harms(found)["bag"] == harms(found)["dress"] == 1


def test_beside_the_anchor_only_the_whole_is_measured() -> None:
    """Under its own name; golden set and classes are there to be read."""
    rows = some_rows()
    found = compare(rows, right_but(rows, []), Other(right_but(rows, [1]), against="anchor"), DEFAULTS)
    assert [each.metric for each in found.measured()] == ["accuracy_difference_to_anchor"]
    assert found.golden is not None and set(found.classes) == set(CLASSES)


def test_fewer_rows_never_make_a_loss_easier_to_pass() -> None:
    """The same shares of 100 to 10,000 rows: the lower bound rises with the rows."""
    lows = []
    for n in (100, 300, 1000, 10_000):
        rows = some_rows(n)
        lost, won = np.arange(n // 50), np.arange(n // 50, n // 25)
        found = compare(rows, right_but(rows, lost), Other(right_but(rows, won)), DEFAULTS)
        assert found.overall is not None and found.overall.difference.low is not None
        lows.append(found.overall.difference.low)
    assert all(fewer < more for fewer, more in pairwise(lows))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_the_rows_decides_nothing(seed: int) -> None:
    """The same rows in another order: the same comparison."""
    generator = np.random.default_rng(seed)
    rows = some_rows(200, seed)
    ours, theirs = (right_but(rows, generator.choice(200, size)) for size in (20, 25))
    order = generator.permutation(200)
    mixed = Rows(rows.true[order], rows.golden[order], rows.new[order])
    again = compare(
        mixed,
        Answers(ours.predicted[order], CLASSES),
        Other(Answers(theirs.predicted[order], CLASSES)),
        DEFAULTS,
    )
    assert again == compare(rows, ours, Other(theirs), DEFAULTS)


def test_equal_models_are_seldom_refused_for_harm() -> None:
    """400 pairs of equally good models, 400 rows of 20 classes: the families keep their error rate."""
    generator = np.random.default_rng(1)
    classes = tuple(f"class {number:02d}" for number in range(20))
    small = DEFAULTS.model_copy(update={"min_n": 10})
    refused = {"class": 0, "subset": 0}
    for seed in range(400):
        rows = some_rows(400, seed, classes)
        ours, theirs = (right_but(rows, np.flatnonzero(generator.random(400) < 0.06), classes) for _ in "ab")
        p = harms(compare(rows, ours, Other(theirs), small))
        subsets = [p.pop(name) for name in ("golden_harm", "new_rows_harm")]
        refused["class"] += min(each for each in p.values() if each is not None) < DEFAULTS.harm_alpha
        refused["subset"] += min(each for each in subsets if each is not None) < DEFAULTS.harm_alpha
    assert refused["class"] <= 0.025 * 400
    assert refused["subset"] <= 0.05 * 400
