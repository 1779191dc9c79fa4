"""What the slices hand over to a policy."""

from __future__ import annotations

from materializers.evaluation.metric import Measured, Metric
from materializers.evaluation.slices import SlicedColumn, Slices

GOOD, BAD = Metric(value=0.9, low=0.8, high=0.95, n=80), Metric(value=0.6, low=0.5, high=0.7, n=60)
GAP = Metric(value=0.3, low=0.15, high=0.45, n=60)
SECTION = Slices(
    min_n=50,
    columns={
        "shop": SlicedColumn(
            groups={"north": GOOD, "south": BAD}, too_few={"west": 3}, worst="south", gap=GAP
        ),
        "season": SlicedColumn(not_assessed="it has one value"),
    },
    left_out={"number": "it has 240 values"},
)


def test_each_column_hands_over_its_worst_group_and_its_gap() -> None:
    """One that was asked for and makes no groups, both without a value; one that was left out, nothing."""
    assert list(SECTION.measured()) == [
        Measured(metric="worst_group_accuracy", subject="shop=south", value=BAD),
        Measured(metric="accuracy_gap", subject="shop", value=GAP),
        Measured(metric="worst_group_accuracy", subject="season", value=None, reason="it has one value"),
        Measured(metric="accuracy_gap", subject="season", value=None, reason="it has one value"),
    ]


def test_a_part_that_was_not_assessed_says_so_of_both_numbers() -> None:
    """So that a rule on them is not assessed, and not absent."""
    measured = list(Slices(not_assessed="nothing groups the pictures").measured())
    assert [each.metric for each in measured] == ["worst_group_accuracy", "accuracy_gap"]
    assert {(each.subject, each.value, each.reason) for each in measured} == {
        (None, None, "nothing groups the pictures")
    }


def test_a_section_is_read_as_it_was_written() -> None:
    """With the same digest."""
    read = Slices.model_validate_json(SECTION.model_dump_json())
    assert read == SECTION
    assert read.digest == SECTION.digest
