"""What the fairness hands over to a policy."""

from __future__ import annotations

from materializers.evaluation.fairness import Fairness, FairnessColumn
from materializers.evaluation.metric import Measured, Metric

GAP = Metric(value=0.3, low=0.15, high=0.45, n=60)
PARITY = Metric(value=0.1, low=0.0, high=0.2, n=60)
SECTION = Fairness(
    min_n=50,
    min_class_n=20,
    columns={
        "shop": FairnessColumn(
            gap=GAP,
            demographic_parity=PARITY,
            demographic_parity_class="bags",
            equalized_odds_note="no class has 20 pictures in two groups",
        ),
        "season": FairnessColumn(not_assessed="labels.csv brought no column season"),
    },
)


def test_each_sensitive_column_hands_over_three_differences() -> None:
    """What is missing comes with the reason, its own or that of the column."""
    why, absent = "no class has 20 pictures in two groups", "labels.csv brought no column season"
    assert list(SECTION.measured()) == [
        Measured(metric="fairness_gap", subject="shop", value=GAP),
        Measured(metric="demographic_parity_difference", subject="shop", value=PARITY),
        Measured(metric="equalized_odds_difference", subject="shop", value=None, reason=why),
        Measured(metric="fairness_gap", subject="season", value=None, reason=absent),
        Measured(metric="demographic_parity_difference", subject="season", value=None, reason=absent),
        Measured(metric="equalized_odds_difference", subject="season", value=None, reason=absent),
    ]


def test_a_note_on_some_classes_is_no_reason_where_there_is_a_value() -> None:
    """The value is that of the classes that could be compared."""
    column = SECTION.columns["shop"].model_copy(update={"equalized_odds": PARITY})
    odds = list(Fairness(columns={"shop": column}).measured())[2]
    assert (odds.value, odds.reason) == (PARITY, None)


def test_a_part_that_was_not_assessed_says_so_of_every_number() -> None:
    """It is never passed for want of a column."""
    measured = list(Fairness(not_assessed="no column is declared sensitive").measured())
    assert [each.metric for each in measured] == [
        "fairness_gap",
        "demographic_parity_difference",
        "equalized_odds_difference",
    ]
    assert all(each.value is None and each.reason == "no column is declared sensitive" for each in measured)


def test_a_section_is_read_as_it_was_written() -> None:
    """With the same digest."""
    read = Fairness.model_validate_json(SECTION.model_dump_json())
    assert read == SECTION
    assert read.digest == SECTION.digest
