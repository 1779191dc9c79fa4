"""Tests of steps/data/split_reporting.py."""

import pandas as pd

from materializers.splits import APART
from steps.data.split import SplitSettings, split_dataset
from steps.data.split_reporting import LISTED_APART
from tests.steps.data.indexes import index_of, splits_of

MANY = SplitSettings.model_validate(
    {name: {"limit": 9, "severity": "warn"} for name in ("set_apart", "classes_in_every_split")}
)


def test_the_report_names_who_is_set_apart_and_why() -> None:
    """Train and validation pictures that turn out to be a tested vase are listed, with where they were."""
    index = index_of(["a"] * 100, ["vase"] * 3 + [None] * 97)
    sides = ["train", "validation", "test", APART] + ["train"] * 66 + ["validation"] * 15 + ["test"] * 15
    previous = splits_of(index, sides)
    splits, report = split_dataset(index, "v", previous, MANY)
    assert splits is not None
    told = [(each.image_id, each.group, each.was, each.reason) for each in report.set_apart]
    assert told == [
        ("picture-0", "vase", "train", "It was in train and belongs together with pictures in test."),
        (
            "picture-1",
            "vase",
            "validation",
            "It was in validation and belongs together with pictures in test.",
        ),
        ("picture-3", "picture-3", None, "Earlier splits set it apart, and it stays so."),
    ]
    (merged,) = report.merged_groups
    assert (merged.name, merged.kept, merged.set_apart) == ("vase", "test", {"train": 1, "validation": 1})
    assert report.set_apart_count == 3
    assert (report.splits, report.parent, report.new) == (splits.digest, previous.digest, 0)


def test_the_report_counts_every_class_and_share() -> None:
    """Counts are of the dataset's labels, shares of what is in a split."""
    _, report = split_dataset(index_of(["a"] * 200 + ["b"] * 100), "version", None, SplitSettings())
    assert report.counts == {
        "a": {"train": 140, "validation": 30, "test": 30, APART: 0},
        "b": {"train": 70, "validation": 15, "test": 15, APART: 0},
    }
    assert report.shares == report.configured_shares == {"train": 0.7, "validation": 0.15, "test": 0.15}
    assert (report.data, report.rows, report.new) == ("version", 300, 300)
    assert report.headline()["train"] == 210


def test_a_new_picture_is_told_why_it_is_apart() -> None:
    """By time, for its group's cut or for its own time; and where all of its group are apart."""
    index = index_of(["a"] * 100, ["vase", *[None] * 98, "vase"])
    index["captured_at"] = [f"2026-01-01T{number // 60:02d}:{number % 60:02d}:00Z" for number in range(100)]
    timed = MANY.model_copy(update={"by": "time"})
    _, report = split_dataset(index, "v", None, timed)
    assert {each.reason for each in report.set_apart} == {
        "Its group was taken on both sides of the time at which a split begins."
    }
    late = index.tail(1).assign(image_id="new", group="cup", captured_at="2026-01-01T02:00:00Z")
    known = index_of(["a"] * 100, ["cup", *[None] * 99]).assign(captured_at=index["captured_at"])
    first, _ = split_dataset(known, "v", None, timed)
    _, report = split_dataset(pd.concat([known, late]), "w", first, timed)
    assert [each.reason for each in report.set_apart] == [
        "Its group is in train, and it was taken at the time of another split."
    ]
    apart = index_of(["a"] * 2, ["vase"] * 2)
    _, report = split_dataset(apart, "v", splits_of(apart.head(1), [APART]), MANY)
    assert report.set_apart[0].reason == ("All pictures of its group that earlier splits knew are set apart.")


def test_of_very_many_set_apart_the_report_lists_the_first() -> None:
    """The splits name all of them; the report stays readable and says how many there are."""
    size = LISTED_APART + 10
    index = index_of(["a"] * size, ["vase"] * size)
    _, report = split_dataset(index, "v", splits_of(index, ["train"] * (size - 1) + ["test"]), MANY)
    assert (len(report.set_apart), report.set_apart_count) == (LISTED_APART, size - 1)
