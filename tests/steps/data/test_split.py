"""Tests of steps/data/split.py."""

from random import Random

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from materializers.image_dataset import ImageDataset, Picture
from materializers.splits import APART, SPLITS, Splits
from steps.data.checks.leakage import check_leakage
from steps.data.groups import groups_of
from steps.data.split import Shares, SplitSettings, assign_splits, split, split_dataset
from tests.steps.data.deliveries import CLASSES, dataset_of
from tests.steps.data.indexes import (
    GROUPS,
    ROWS,
    Groups,
    Rows,
    connected_at_random,
    examples,
    grouped,
    index_of,
    sides_at_random,
    splits_of,
)


def assigned(index: pd.DataFrame, previous: Splits | None = None, seed: int = 0) -> pd.Series:
    """Assign with the product's shares; by picture."""
    return assign_splits(index, previous=previous, shares=Shares(), seed=seed).set_axis(index["image_id"])


@examples
@given(GROUPS, st.integers(-5, 5))
def test_no_group_is_in_two_splits(groups: Groups, seed: int) -> None:
    """What belongs together stays together, and every picture has a split."""
    index = grouped(groups)
    splits = assigned(index, seed=seed)
    assert set(splits) <= set(SPLITS)
    assert splits.groupby(groups_of(index).to_numpy()).nunique().max() == 1


@examples
@given(GROUPS, st.integers(-5, 5))
def test_a_class_of_three_groups_is_in_every_split(groups: Groups, seed: int) -> None:
    """However small a class is, it can be learnt, tuned and tested."""
    index = grouped(groups)
    splits = assigned(index, seed=seed)
    for label, rows in index.groupby("label"):
        if groups_of(rows).nunique() >= 3:
            assert set(splits[rows["image_id"]]) == set(SPLITS), label


@examples
@given(GROUPS, st.randoms(use_true_random=False))
def test_the_order_of_rows_has_no_effect(groups: Groups, random: Random) -> None:
    """The same pictures in any order have the same splits."""
    index = grouped(groups)
    order = list(range(len(index)))
    random.shuffle(order)
    shuffled = assigned(index.iloc[order])
    assert shuffled[index["image_id"]].tolist() == assigned(index).tolist()


@examples
@given(GROUPS, GROUPS)
def test_what_was_placed_never_moves(old: Groups, new: Groups) -> None:
    """A later delivery, and the loss of some old pictures, change no picture's side."""
    before = grouped(old)
    placed = assigned(before)
    later = pd.concat([before.iloc[::2], grouped(new, first=1_000)])
    after = assigned(later, splits_of(before, placed))
    kept = before.iloc[::2]["image_id"]
    assert after[kept].tolist() == placed[kept].tolist()
    assert after.groupby(groups_of(later).to_numpy()).nunique().max() == 1
    assert set(after.index) == set(later["image_id"])


@examples
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("tuvwxyz")), max_size=60))
def test_groups_of_several_labels_stay_together(rows: list[tuple[str, str]]) -> None:
    """A group of mixed labels is placed once."""
    index = index_of([label for label, _ in rows], [group for _, group in rows])
    splits = assigned(index)
    assert splits.groupby(index["group"].to_numpy()).nunique().max() == 1 or not rows


@settings(deadline=None, max_examples=5)
@given(st.integers(0, 1_000))
def test_shares_are_within_one_percent_of_a_thousand_a_class(seed: int) -> None:
    """Groups of up to five pictures leave each class's shares where they are configured."""
    index = grouped([("abc"[number % 3], 1 + number % 5) for number in range(999)])
    splits = assigned(index, seed=seed)
    shares = pd.crosstab(index["label"].to_numpy(), splits.to_numpy(), normalize="index")
    for name, share in {"train": 0.70, "validation": 0.15, "test": 0.15}.items():
        assert (shares[name] - share).abs().max() <= 0.01


def test_a_new_delivery_fills_what_a_class_lacks() -> None:
    """After a first delivery split otherwise, the second one brings the shares back."""
    before = index_of(["a"] * 300)
    previous = splits_of(before, pd.Series(["train"] * 290 + ["validation"] * 5 + ["test"] * 5))
    counts = assigned(index_of(["a"] * 1_000), previous).value_counts()
    assert counts.to_dict() == {"train": 700, "validation": 150, "test": 150}


def test_a_new_picture_goes_with_its_group() -> None:
    """A further photograph of a tested product is not learnt from."""
    previous = Splits(pd.DataFrame({"image_id": ["picture-0"], "split": ["test"], "label": ["a"]}))
    splits = assigned(index_of(["a"] * 50, ["vase"] * 50), previous)
    assert set(splits) == {"test"}


@pytest.mark.parametrize(
    ("placed", "expected"),
    [
        (["train", "test", "train"], [APART, "test", APART]),
        (["train", "validation", "validation"], [APART, "validation", "validation"]),
        (["validation", "test", "train"], [APART, "test", APART]),
        (["train", APART, "train"], ["train", APART, "train"]),
    ],
)
def test_when_groups_merge_the_highest_claim_stays(placed: list[str], expected: list[str]) -> None:
    """Test before validation before train; the others are set apart, and a new picture joins what stays."""
    index = index_of(["a"] * 4, ["vase"] * 4)
    sides = assigned(index, splits_of(index.head(3), placed))
    assert sides.tolist() == [*expected, next(side for side in expected if side != APART)]


def test_a_near_duplicate_of_a_tested_picture_is_not_learnt_from() -> None:
    """A cluster joins pictures as a group does, through named groups too."""
    index = index_of(["a"] * 4, [None, "vase", "vase", None], ["alike", "alike", None, None])
    sides = assigned(index, splits_of(index.head(3), ["test", "train", "train"]))
    assert sides[:3].tolist() == ["test", APART, APART]


def test_what_was_set_apart_stays_so() -> None:
    """Also when its group is found to be another one; and new pictures of such a group follow it."""
    index = index_of(["a"] * 3, ["vase", "vase", None])
    apart = splits_of(index, ["test", APART, "train"])
    assert assigned(index.assign(group=None), apart).tolist() == ["test", APART, "train"]
    alone = index_of(["a"] * 2, ["vase"] * 2)
    assert assigned(alone, splits_of(alone.head(1), [APART])).tolist() == [APART, APART]


@examples
@given(ROWS, st.integers(-5, 5))
def test_nothing_that_is_connected_is_in_two_splits(rows: Rows, seed: int) -> None:
    """Groups and clusters that overlap in chains are placed as one, and nothing new is set apart."""
    index = connected_at_random(rows)
    sides = assigned(index, seed=seed)
    assert {check.outcome for check in check_leakage(index, splits_of(index, sides))} == {"passed"}
    assert set(sides) <= set(SPLITS)


@examples
@given(st.data(), ROWS)
def test_whatever_merges_test_pictures_stay_and_nothing_leaks(data: st.DataObject, rows: Rows) -> None:
    """Earlier splits knew no such groups: what cannot stay is set apart, and nothing changes side."""
    index = connected_at_random(rows)
    known = index.head(data.draw(st.integers(0, len(index)), label="known"))
    before = data.draw(sides_at_random(len(known)), label="sides")
    after = assigned(index, splits_of(known, before))
    assert {check.outcome for check in check_leakage(index, splits_of(index, after))} == {"passed"}
    groups = groups_of(index).tolist()
    claim = {APART: 0, "train": 1, "validation": 2, "test": 3}
    highest = dict(sorted(zip(groups, before, strict=False), key=lambda pair: claim[pair[1]]))
    for image_id, group, side in zip(known["image_id"], groups, before, strict=False):
        assert after[image_id] == (side if side == highest[group] else APART)


@examples
@given(st.data(), ROWS, st.randoms(use_true_random=False))
def test_grown_splits_do_not_depend_on_the_order_of_rows(
    data: st.DataObject, rows: Rows, random: Random
) -> None:
    """Neither of the dataset's nor of the earlier splits'."""
    index = connected_at_random(rows)
    known = index.head(len(index) // 2)
    before = splits_of(known, data.draw(sides_at_random(len(known))))
    order = list(range(len(index)))
    random.shuffle(order)
    shuffled = assigned(index.iloc[order], Splits(before.members[::-1]))
    assert shuffled[index["image_id"]].tolist() == assigned(index, before).tolist()


def test_another_seed_gives_other_splits() -> None:
    """The seed decides who is in which split, not how many."""
    index = index_of(["a"] * 200)
    first, second = assigned(index, seed=1), assigned(index, seed=2)
    assert first.tolist() != second.tolist()
    assert first.value_counts().to_dict() == second.value_counts().to_dict()


def test_splits_are_the_same_on_every_machine() -> None:
    """These were written down when the rule was made: a change of it would move pictures between sides."""
    assert assigned(index_of(["a"] * 10)).tolist() == [
        "train",
        "test",
        "train",
        "train",
        "train",
        "validation",
        "train",
        "train",
        "validation",
        "train",
    ]


def test_shares_sum_to_one() -> None:
    """A typo in the shares is refused when the configuration is read."""
    with pytest.raises(ValidationError, match=r"sum to 1\.1; they have to sum to 1"):
        Shares(train=0.8)


def run(dataset: ImageDataset, previous: Splits | None = None) -> Splits:
    """The splits of one call of the step."""
    splits, report = split.entrypoint(dataset, previous, SplitSettings(), 0, "code")
    assert report.outcome == "passed"
    assert report.splits == splits.digest
    assert isinstance(splits, Splits)
    return splits


def test_the_step_grows_the_previous_splits() -> None:
    """The result names its parent, and covers exactly the dataset."""
    first = run(dataset_of(CLASSES * 10))
    second = run(dataset_of(CLASSES * 20), first)
    assert (first.parent, second.parent) == (None, first.digest)
    assert len(second.members) == 60
    for name in SPLITS:
        assert set(first.image_ids(name)) <= set(second.image_ids(name))


def test_the_step_has_nothing_to_split_of_a_refused_delivery() -> None:
    """No dataset: no splits, and no report."""
    assert split.entrypoint(None, None, SplitSettings(), 0, "code") == (None, None)


def test_a_picture_that_was_away_comes_back_to_its_side() -> None:
    """Pictures that a run in between lacked are in the same split when they return."""
    first, other = pictures_named("first", 60), pictures_named("other", 60)
    before = run(first)
    between = run(other, before)
    after = run(first.join(other), between)
    placed = dict(zip(after.members["image_id"], after.members["split"], strict=True))
    for earlier in (before, between):
        for image_id, side in zip(earlier.members["image_id"], earlier.members["split"], strict=True):
            assert placed[image_id] == side
    assert set(between.members["image_id"]).isdisjoint(first.index["image_id"])


def test_refused_splits_are_none() -> None:
    """A group that is half of the dataset sets too much apart: the report says so."""
    index = index_of(["a"] * 100, ["supplier"] * 50 + [None] * 50)
    previous = splits_of(
        index, ["train"] * 49 + ["test"] + ["train"] * 20 + ["validation"] * 15 + ["test"] * 15
    )
    splits, report = split_dataset(index, "v", previous, SplitSettings())
    assert (splits, report.outcome, report.set_apart_count) == (None, "refused", 49)
    assert report.reasons()[0].startswith("49 pictures set apart: 49.0% of 100")


def test_without_times_nothing_is_split_by_time() -> None:
    """A report without splits or counts, and the message that mends it."""
    splits, report = split_dataset(index_of(["a"] * 9), "v", None, SplitSettings(by="time"))
    assert (splits, report.outcome, report.splits, report.counts) == (None, "refused", None, {})
    assert "split.by=groups" in report.reasons()[0]


def test_splits_by_groups_that_leak_in_time_are_refused_by_time() -> None:
    """What is in a split stays there, so the check says what cannot be had."""
    index = index_of(["a"] * 10).assign(captured_at=[f"2026-01-{day:02d}" for day in range(1, 11)])
    previous = splits_of(index, ["test", "validation"] + ["train"] * 8)
    splits, report = split_dataset(index, "v", previous, SplitSettings(by="time"))
    assert splits is None
    assert report.reasons()[0].startswith("8 training pictures newer than the oldest test picture")


def pictures_named(name: str, size: int) -> ImageDataset:
    """Pictures that no other name has, of three classes."""
    return ImageDataset.from_pictures(
        Picture(f"{name} {number}".encode(), "abc"[number % 3], 8, 8, 1, f"{name}/{number}")
        for number in range(size)
    )


def test_a_policy_that_no_test_set_of_this_size_meets_is_refused_before_anything_is_trained() -> None:
    """No splits, so that no training; without such a rule nothing is asked."""
    index = index_of(["a"] * 100 + ["b"] * 100)
    splits, report = split_dataset(index, "v", None, SplitSettings(), min_tested=1_000_000)
    assert (splits, report.outcome) == (None, "refused")
    assert "needs 1,000,000" in report.reasons()[0]
    splits, report = split_dataset(index, "v", None, SplitSettings())
    assert splits is not None
    assert "tested" not in {check.name for check in report.checks}
