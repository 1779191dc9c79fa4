"""Tests of steps/data/split.py."""

from collections.abc import Sequence
from random import Random

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from materializers.image_dataset import ImageDataset, Picture
from materializers.splits import SPLITS, Splits
from steps.data.split import Shares, SplitSettings, assign_splits, groups_of, split
from tests.steps.data.deliveries import CLASSES, dataset_of


def index_of(labels: Sequence[str], groups: Sequence[str | None] | None = None) -> pd.DataFrame:
    """An index of one picture a label."""
    ids = [f"picture-{number}" for number in range(len(labels))]
    return pd.DataFrame({"image_id": ids, "label": labels, "group": groups or [None] * len(labels)})


def assigned(index: pd.DataFrame, previous: Splits | None = None, seed: int = 0) -> pd.Series:
    """Assign with the product's shares; by picture."""
    return assign_splits(index, previous=previous, shares=Shares(), seed=seed).set_axis(index["image_id"])


def splits_of(index: pd.DataFrame, splits: pd.Series) -> Splits:
    """What the step would return."""
    return Splits(index[["image_id", "label"]].assign(split=splits.to_numpy()))


Groups = list[tuple[str, int]]
GROUPS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5)), min_size=1, max_size=40)
"""Label and size of each group."""
# Examples take milliseconds, but not on a machine that does something else beside.
examples = settings(deadline=None, max_examples=50)


def grouped(groups: Groups, first: int = 0) -> pd.DataFrame:
    """An index of groups of one label each; a group of one picture has no name."""
    rows = [
        (f"picture-{first + number}-{member}", label, f"group-{first + number}" if size > 1 else None)
        for number, (label, size) in enumerate(groups)
        for member in range(size)
    ]
    return pd.DataFrame(rows, columns=["image_id", "label", "group"])


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


def test_a_new_picture_of_a_divided_group_goes_with_the_majority() -> None:
    """Two known in test and one in train: test; of equal numbers, train."""
    known = pd.DataFrame({"image_id": ["picture-0", "picture-1", "picture-2"], "label": "a"})
    index = index_of(["a"] * 4, ["vase"] * 4)
    for placed, expected in [(["train", "test", "test"], "test"), (["test", "train", "set apart"], "train")]:
        assert assigned(index, Splits(known.assign(split=placed)))["picture-3"] == expected


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


def test_the_step_grows_the_previous_splits() -> None:
    """The result names its parent, and covers exactly the dataset."""
    first = split.entrypoint(dataset_of(CLASSES * 10), None, SplitSettings(), "code")
    second = split.entrypoint(dataset_of(CLASSES * 20), first, SplitSettings(), "code")
    assert (first.parent, second.parent) == (None, first.digest)
    assert len(second.members) == 60
    for name in SPLITS:
        assert set(first.image_ids(name)) <= set(second.image_ids(name))


def test_the_step_has_nothing_to_split_of_a_refused_delivery() -> None:
    """No dataset, no splits."""
    assert split.entrypoint(None, None, SplitSettings(), "code") is None


def test_a_picture_that_was_away_comes_back_to_its_side() -> None:
    """Pictures that a run in between lacked are in the same split when they return."""
    first, other = pictures_named("first", 60), pictures_named("other", 60)
    before = split.entrypoint(dataset=first, previous=None, settings=SplitSettings(), code="c")
    between = split.entrypoint(dataset=other, previous=before, settings=SplitSettings(), code="c")
    after = split.entrypoint(dataset=first.join(other), previous=between, settings=SplitSettings(), code="c")
    placed = dict(zip(after.members["image_id"], after.members["split"], strict=True))
    for earlier in (before, between):
        for image_id, side in zip(earlier.members["image_id"], earlier.members["split"], strict=True):
            assert placed[image_id] == side
    assert set(between.members["image_id"]).isdisjoint(first.index["image_id"])


def pictures_named(name: str, size: int) -> ImageDataset:
    """Pictures that no other name has, of three classes."""
    return ImageDataset.from_pictures(
        Picture(f"{name} {number}".encode(), "abc"[number % 3], 8, 8, 1, f"{name}/{number}")
        for number in range(size)
    )
