"""Tests of steps/data/split_by_time.py, through the splits that it makes."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from materializers.splits import APART, SPLITS, Splits
from steps.data.checks.leakage import check_leakage, check_time_leakage
from steps.data.split import Shares, assign_splits
from tests.steps.data.indexes import examples, index_of, splits_of

START = datetime(2026, 1, 1, tzinfo=UTC)


def dated(days: Sequence[int], groups: Sequence[str | None] | None = None, first: int = 0) -> pd.DataFrame:
    """An index of pictures taken on these days."""
    index = index_of(["a"] * len(days), groups)
    index["image_id"] = [f"picture-{first + number}" for number in range(len(days))]
    return index.assign(captured_at=[(START + timedelta(days=day)).isoformat() for day in days])


def by_time(index: pd.DataFrame, previous: Splits | None = None) -> pd.Series:
    """Split by time with the product's shares."""
    return assign_splits(index, previous=previous, shares=Shares(), seed=0, by="time")


def test_the_oldest_train_and_the_newest_test() -> None:
    """Of a hundred days, seventy train, fifteen validate and fifteen test, in their order."""
    sides = by_time(dated(range(100)))
    assert sides.tolist() == ["train"] * 70 + ["validation"] * 15 + ["test"] * 15


def test_pictures_of_one_moment_are_on_one_side() -> None:
    """The cut nearest to the share is taken: no day is divided."""
    sides = by_time(dated([0] * 60 + [1] * 25 + [2] * 15))
    assert sides.tolist() == ["train"] * 60 + ["validation"] * 25 + ["test"] * 15
    assert set(by_time(dated([0] * 10))) == {"train"}


def test_a_group_on_both_sides_of_a_cut_is_set_apart() -> None:
    """It is newer than pictures that test and older than ones that train."""
    groups: list[str | None] = [None] * 100
    groups[5] = groups[95] = "vase"
    groups[3] = groups[4] = "cup"
    sides = by_time(dated(range(100), groups))
    assert sides[[3, 4, 5, 95]].tolist() == ["train", "train", APART, APART]


def test_a_later_delivery_goes_where_its_time_says() -> None:
    """Old pictures that come late train, new ones test, and what is there stays."""
    before = dated(range(100))
    later = pd.concat([before, dated([10, 72, 90, 150, 200], first=100)], ignore_index=True)
    sides = by_time(later, splits_of(before, by_time(before)))
    assert sides[:100].tolist() == by_time(before).tolist()
    assert sides[100:].tolist() == ["train", "validation", "test", "test", "test"]


def test_a_later_picture_of_a_trained_product_is_set_apart() -> None:
    """Its group trains and its time tests: it does neither."""
    before = dated(range(100), ["vase", *[None] * 99])
    later = pd.concat([before, dated([1, 99], ["vase", "vase"], first=100)], ignore_index=True)
    assert by_time(later, splits_of(before, by_time(before)))[100:].tolist() == ["train", APART]


def test_training_stays_older_than_the_test_where_earlier_splits_knew_only_training() -> None:
    """The cuts that no known picture sets lie after the newest that trains."""
    before = dated(range(50))
    later = pd.concat([before, dated(range(0, 60), first=100)], ignore_index=True)
    splits = splits_of(later, by_time(later, splits_of(before, ["train"] * 50)))
    assert check_time_leakage(later, splits).outcome == "passed"
    assert splits.image_ids("test")


DAYS = st.lists(
    st.tuples(st.integers(0, 30), st.one_of(st.none(), st.sampled_from(["vase", "cup", "pot", "jug"]))),
    max_size=50,
)


@examples
@given(DAYS, DAYS)
def test_no_delivery_makes_time_or_groups_leak(
    old: list[tuple[int, str | None]], new: list[tuple[int, str | None]]
) -> None:
    """Whatever comes later, nothing that trains is newer than what tests, and groups are whole."""
    before = dated([day for day, _ in old], [group for _, group in old])
    placed = splits_of(before, by_time(before))
    later = pd.concat(
        [before, dated([day for day, _ in new], [group for _, group in new], first=100)], ignore_index=True
    )
    after = splits_of(later, by_time(later, placed))
    for index, splits in ((before, placed), (later, after)):
        assert check_time_leakage(index, splits).outcome == "passed"
        assert check_leakage(index, splits)[0].outcome == "passed"
    for name in SPLITS:
        assert set(placed.image_ids(name)) <= set(after.image_ids(name))
