"""What a comparison hands to the gate."""

from __future__ import annotations

import pytest

from materializers.evaluation.comparison import Against, Comparison, PairedRows
from materializers.evaluation.metric import Metric


def part(n: int, adjusted: float | None = None) -> PairedRows:
    """Rows on which the champion alone is right twice."""
    return PairedRows(
        n=n,
        only_reference=2,
        only_challenger=0,
        reference=1.0,
        challenger=1 - 2 / n,
        difference=Metric(value=-2 / n, low=-0.05, high=0.01, n=n),
        p=0.1,
        adjusted=adjusted,
    )


BESIDE_THE_CHAMPION = [
    "accuracy_difference_to_champion",
    "dropped_classes",
    "golden_harm",
    "new_rows_harm",
    "class_harm",
]


@pytest.mark.parametrize(
    ("against", "metrics"),
    [
        ("champion", BESIDE_THE_CHAMPION),
        ("majority class", BESIDE_THE_CHAMPION),
        ("anchor", ["accuracy_difference_to_anchor"]),
    ],
)
def test_a_champion_that_cannot_be_read_leaves_every_number_out(against: Against, metrics: list[str]) -> None:
    """Each with the reason, so that a required rule refuses and says why."""
    found = list(Comparison(against=against, not_assessed="Version 3 cannot be read.").measured())
    assert [each.metric for each in found] == metrics
    assert {(each.value, each.reason) for each in found} == {(None, "Version 3 cannot be read.")}


def test_every_number_has_its_name_its_class_and_its_rows() -> None:
    """The difference with its interval, the adjusted p-values without."""
    comparison = Comparison(
        overall=part(400),
        golden=part(80, 0.4),
        classes={"bag": part(100, 0.01), "dress": part(30)},
        min_n=50,
    )
    difference, dropped, golden, new, bag, dress = comparison.measured()
    assert (dropped.metric, dropped.value, dropped.reason) == (
        "dropped_classes",
        Metric(value=0.0, n=0),
        None,
    )
    assert difference.value == part(400).difference
    assert (golden.metric, golden.value) == ("golden_harm", Metric(value=0.4, n=80))
    assert (new.metric, new.value) == ("new_rows_harm", None)
    assert (bag.subject, bag.value) == ("bag", Metric(value=0.01, n=100))
    assert (dress.subject, dress.value) == ("dress", None)
    assert dress.reason == "30 rows, of 50 that a class needs to be compared"


def test_a_class_that_nobody_gave_up_by_name_is_counted_and_named() -> None:
    """What was retired is not; beside the anchor, which may be old, neither is counted."""
    comparison = Comparison(
        version="4",
        overall=part(400),
        compared_classes=("bag", "dress"),
        dropped_classes=("hat", "shoe", "sock"),
        retired_classes=("shoe",),
    )
    dropped = next(each for each in comparison.measured() if each.metric == "dropped_classes")
    assert dropped.value == Metric(value=2.0, n=5)
    assert not dropped.spared
    assert dropped.reason is not None
    assert dropped.reason.startswith("the champion, version 4 knows hat, sock, and this model does not: name")
    assert "product.class_changes" in dropped.reason
    anchor = comparison.model_copy(update={"against": "anchor"})
    assert "dropped_classes" not in {each.metric for each in anchor.measured()}


def test_a_comparison_is_read_back_as_it_was_written() -> None:
    """As JSON, to the last digit."""
    comparison = Comparison(against="anchor", overall=part(7), classes={"bag": part(3, 1 / 3)}, power=0.1)
    assert Comparison.model_validate_json(comparison.model_dump_json()) == comparison


def test_the_opponent_is_named_for_what_it_is() -> None:
    """A first version is compared with no champion; how often an equal model passes says nothing there."""
    baseline = Comparison(against="majority class", always_answered="bags", overall=part(400), power=0.001)
    champion = Comparison(version="7", overall=part(400), power=0.437, decisions_on_this_test_set=4)
    assert next(baseline.measured()).reason == "compared with a baseline that always answers bags"
    assert next(champion.measured()).reason == (
        "compared with the champion, version 7; one that is exactly as good would pass in 44% of cases; "
        "verdict 4 on this test set"
    )
    assert Comparison(against="majority class").opponent.endswith("always answers the most frequent class")
