"""Tests of steps/data/golden.py, through the splits that carry the golden set."""

from hypothesis import given
from hypothesis import strategies as st

from materializers.splits import Splits
from steps.data.split import SplitSettings, split_dataset
from tests.steps.data.indexes import examples, grouped, index_of, splits_of

ANY = SplitSettings.model_validate(
    {name: {"limit": 9, "severity": "warn"} for name in ("set_apart", "classes_in_every_split")}
)
"""Small examples may lack a class in a split."""


def golden(splits: Splits | None) -> dict[str, str]:
    """The golden pictures and their labels."""
    assert splits is not None
    rows = splits.members[splits.members["golden"]]
    return dict(zip(rows["image_id"], rows["label"], strict=True))


def test_a_fifth_of_each_class_of_the_first_test_split_is_golden() -> None:
    """200 and 100 pictures: 30 and 15 test, 6 and 3 are frozen."""
    splits, report = split_dataset(index_of(["a"] * 200 + ["b"] * 100), "v", None, SplitSettings())
    assert splits is not None
    labels = list(golden(splits).values())
    assert (labels.count("a"), labels.count("b"), report.golden) == (6, 3, 9)
    assert set(golden(splits)) <= set(splits.image_ids("test"))


def test_a_small_class_has_one_golden_picture_and_no_share_none() -> None:
    """The set covers every class; who sets the share to 0 has no golden set."""
    index = index_of(["a"] * 10 + ["b"] * 10)
    assert sorted(golden(split_dataset(index, "v", None, ANY)[0]).values()) == ["a", "b"]
    none = ANY.model_copy(update={"golden_share": 0.0})
    assert golden(split_dataset(index, "v", None, none)[0]) == {}


def test_a_golden_picture_keeps_its_first_label() -> None:
    """A corrected label changes the dataset, and the report counts it; the golden set stays what it was."""
    index = index_of(["a"] * 100)
    first, _ = split_dataset(index, "v", None, ANY)
    again, report = split_dataset(index.assign(label="b"), "w", first, ANY)
    assert golden(again) == golden(first)
    assert report.golden_relabelled == len(golden(first)) > 0
    assert again is not None
    assert set(again.members.loc[~again.members["golden"], "label"]) == {"b"}


def test_a_withdrawn_golden_picture_leaves_and_is_counted() -> None:
    """It is golden again when it is there again, with the label of then: it is the same picture."""
    index = index_of(["a"] * 100)
    first, _ = split_dataset(index, "v", None, ANY)
    gone = min(golden(first))
    less, report = split_dataset(index[index["image_id"] != gone], "w", first, ANY)
    assert golden(less) == {name: "a" for name in golden(first) if name != gone}
    assert (report.golden, report.golden_away) == (len(golden(first)) - 1, 1)
    back, report = split_dataset(index.assign(label="b"), "x", less, ANY)
    assert (golden(back), report.golden_away) == (golden(first), 0)


def test_a_golden_set_that_is_away_is_not_drawn_anew() -> None:
    """A run on other pictures has none, and the next on the first ones has the first one's."""
    index, other = index_of(["a"] * 100), grouped([("a", 1)] * 100, first=500)
    first, _ = split_dataset(index, "v", None, ANY)
    between, _ = split_dataset(other, "w", first, ANY)
    assert golden(between) == {}
    assert golden(split_dataset(index, "x", between, ANY)[0]) == golden(first)


def test_a_list_is_frozen_instead_and_tested_with_its_groups() -> None:
    """The listed pictures are for testing, their product with them, and no other is golden."""
    index = index_of(["a"] * 100, ["vase", "vase", *[None] * 98])
    listed = ANY.model_copy(update={"golden_list": ("picture-0", "picture-50")})
    splits, report = split_dataset(index, "v", None, listed)
    assert set(golden(splits)) == {"picture-0", "picture-50"}
    assert splits is not None
    assert {"picture-0", "picture-1", "picture-50"} <= set(splits.image_ids("test"))
    assert report.outcome == "passed"


def test_a_listed_picture_that_is_away_or_trains_is_refused() -> None:
    """A golden set with holes is none: nobody trains, and the report names the pictures."""
    index = index_of(["a"] * 100)
    listed = ANY.model_copy(update={"golden_list": ("picture-0", "elsewhere")})
    splits, report = split_dataset(index, "v", splits_of(index, ["train"] * 100), listed)
    assert (splits, report.outcome) == (None, "refused")
    assert "2 pictures of split.golden_list are not golden (elsewhere, picture-0)" in report.reasons()[0]


def test_a_later_list_freezes_nothing_and_warns() -> None:
    """The golden set was frozen with the first test split."""
    index = index_of(["a"] * 100)
    first, _ = split_dataset(index, "v", None, ANY)
    listed = ANY.model_copy(update={"golden_list": ("picture-0",)})
    later, report = split_dataset(index, "v", first, listed)
    assert golden(later) == golden(first)
    (warned,) = [check for check in report.checks if check.name == "golden_list"]
    assert (warned.outcome, warned.severity, warned.measured) == ("warned", "warn", 1)


DELIVERIES = st.lists(
    st.lists(
        st.tuples(st.integers(0, 60), st.sampled_from("ab")),
        min_size=1,
        max_size=60,
        unique_by=lambda p: p[0],
    ),
    min_size=2,
    max_size=4,
)


@examples
@given(DELIVERIES)
def test_the_golden_set_never_grows(deliveries: list[list[tuple[int, str]]]) -> None:
    """Through any later pictures, labels and withdrawals: what is golden was at first, with that label."""
    first: dict[str, str] | None = None
    previous = None
    for delivery in deliveries:
        index = index_of([label for _, label in delivery])
        index["image_id"] = [f"picture-{number}" for number, _ in delivery]
        previous, _ = split_dataset(index, "v", previous, ANY)
        now = golden(previous)
        first = first or now or None
        assert now.items() <= (first or {}).items()
        assert first is None or set(now) == set(first) & set(index["image_id"])
