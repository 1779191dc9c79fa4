"""Tests of steps/data/joining.py: new pictures, corrections, withdrawals and changed classes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from materializers.data_report import Corrections
from materializers.errors import UsageError
from materializers.image_dataset import ImageDataset, Picture, picture_digest
from steps.data.joining import join_delivery, with_classes
from steps.data.labels import Labels, Row
from tests.steps.data.deliveries import SIDE, photograph
from tests.steps.data.indexes import examples

COLUMNS = ("image_path", "label", "group", "captured_at", "price")


def identity(number: int) -> str:
    """The ``image_id`` of a photograph."""
    return picture_digest(photograph(number))


def dataset(labels: dict[int, str], source: str = "shop", path: str = "{}.png") -> ImageDataset:
    """Photographs by number with these labels, each under a path of its own."""
    return ImageDataset.from_pictures(
        Picture(
            photograph(number), label, SIDE, SIDE, 1, f"{source}/{path.format(number)}", extra={"price": "7"}
        )
        for number, label in labels.items()
    )


NOTHING = dataset({})


def rows(*given: Row) -> Labels:
    """The rows of a delivery."""
    return Labels(COLUMNS, list(given))


def corrected(number: int, label: str | None = None, **said: str | None) -> Row:
    """A row that corrects a photograph."""
    return Row(None, label, image_id=identity(number), extra=said)


def withdrawn(number: int | None = None, path: str | None = None) -> Row:
    """A row that withdraws a photograph, by its number or by its path."""
    return Row(path, None, image_id=None if number is None else identity(number), withdrawn=True)


def labels_of(joined: ImageDataset) -> dict[str, str]:
    """``image_id`` → label."""
    return dict(zip(joined.index["image_id"], joined.index["label"], strict=True))


def test_a_delivery_joins_what_was_there_and_wins() -> None:
    """New pictures are added, and a known one has the later label."""
    before, later = dataset({1: "books", 2: "toys"}), dataset({2: "books", 3: "clothing"})
    joined, changes = join_delivery(before, later, rows(), "shop")
    assert labels_of(joined) == {identity(1): "books", identity(2): "books", identity(3): "clothing"}
    assert changes == Corrections()


def test_without_a_parent_the_delivery_is_taken_alone() -> None:
    """Nothing comes from elsewhere, and a withdrawal finds nothing."""
    later = dataset({2: "books"})
    joined, changes = join_delivery(None, later, rows(withdrawn(1)), "shop")
    assert joined.version == later.version
    assert changes == Corrections(asked=1, unknown=(identity(1),))


def test_a_label_is_corrected_by_image_id() -> None:
    """The row's other columns stay; what was corrected is counted."""
    joined, changes = join_delivery(
        dataset({1: "books", 2: "toys"}), NOTHING, rows(corrected(1, "toys")), "shop"
    )
    assert labels_of(joined) == {identity(1): "toys", identity(2): "toys"}
    assert joined.index["price"].tolist() == ["7", "7"]
    assert changes == Corrections(asked=1, relabelled=1)


def test_a_correction_that_says_what_is_there_changes_nothing() -> None:
    """The version stays, and none is counted."""
    before = dataset({1: "books"})
    joined, changes = join_delivery(before, NOTHING, rows(corrected(1, "books", price="7")), "shop")
    assert joined.version == before.version
    assert changes == Corrections(asked=1)


def test_other_columns_are_corrected_and_counted_by_picture() -> None:
    """Two columns of one picture are one amended picture; a new column is missing for the others."""
    row = Row(None, None, group="vase", extra={"price": "9", "colour": "red"}, image_id=identity(1))
    joined, changes = join_delivery(dataset({1: "books", 2: "toys"}), NOTHING, rows(row), "shop")
    index = joined.index.set_index("image_id")
    columns = ["label", "group", "price", "colour"]
    assert index.loc[[identity(1)], columns].to_numpy().tolist() == [["books", "vase", "9", "red"]]
    assert index.loc[[identity(2)], ["group", "colour"]].isna().to_numpy().all()
    assert changes == Corrections(asked=1, amended=1)


def test_of_two_corrections_of_a_picture_the_later_row_stands() -> None:
    """The order of the rows decides."""
    joined, _ = join_delivery(
        dataset({1: "books"}), NOTHING, rows(corrected(1, "toys"), corrected(1, "clothing")), "shop"
    )
    assert labels_of(joined) == {identity(1): "clothing"}


def test_a_delivery_may_correct_its_own_picture() -> None:
    """It is known by the time that it is corrected."""
    joined, changes = join_delivery(None, dataset({1: "books"}), rows(corrected(1, "toys")), "shop")
    assert (labels_of(joined), changes.relabelled) == ({identity(1): "toys"}, 1)


def test_a_picture_is_withdrawn_by_image_id() -> None:
    """Whoever delivered it."""
    before = dataset({1: "books"}, source="another")
    joined, changes = join_delivery(before, NOTHING, rows(withdrawn(1)), "shop")
    assert (len(joined), changes) == (0, Corrections(asked=1, withdrawn=1))


@pytest.mark.parametrize("came_as", ["{}.png", "./{}.png"])
@pytest.mark.parametrize("path", ["1.png", "./1.png", ".//1.png"])
def test_a_picture_is_withdrawn_by_the_path_under_which_it_came(came_as: str, path: str) -> None:
    """With or without ``./`` on either side."""
    before = dataset({1: "books", 2: "toys"}, path=came_as)
    joined, changes = join_delivery(before, NOTHING, rows(withdrawn(path=path)), "shop")
    assert (labels_of(joined), changes) == ({identity(2): "toys"}, Corrections(asked=1, withdrawn=1))


def test_a_withdrawn_path_may_begin_with_the_name_of_its_source() -> None:
    """As the index writes it; where a path of the delivery itself begins like that, it is meant."""
    before = dataset({1: "books", 2: "toys"})
    joined, changes = join_delivery(before, NOTHING, rows(withdrawn(path="shop/1.png")), "shop")
    assert (labels_of(joined), changes.unknown) == ({identity(2): "toys"}, ())
    inside = before.join(dataset({3: "toys"}, path="shop/1.png"))
    joined, _ = join_delivery(inside, NOTHING, rows(withdrawn(path="shop/1.png")), "shop")
    assert labels_of(joined) == {identity(1): "books", identity(2): "toys"}


def test_another_suppliers_picture_of_the_same_path_stays() -> None:
    """A path is one of whoever delivers."""
    before = dataset({1: "books"}, source="another").join(dataset({2: "toys"}, path="1.png"))
    joined, _ = join_delivery(before, NOTHING, rows(withdrawn(path="1.png")), "shop")
    assert labels_of(joined) == {identity(1): "books"}
    _, changes = join_delivery(before, NOTHING, rows(withdrawn(path="another/1.png")), "shop")
    assert changes == Corrections(asked=1, unknown=("another/1.png",))
    longer = dataset({3: "toys"}, source="shop/1.png")
    joined, changes = join_delivery(longer, NOTHING, rows(withdrawn(path="1.png")), "shop")
    assert (len(joined), changes.unknown) == (1, ("1.png",))


def test_all_pictures_that_came_under_a_withdrawn_path_go() -> None:
    """Which of several was meant nobody knows, so none is learnt from."""
    before = dataset({1: "books"}, path="a.png").join(dataset({2: "books", 3: "toys"}, path="a.png"))
    joined, changes = join_delivery(before, NOTHING, rows(withdrawn(path="a.png")), "shop")
    assert (len(joined), changes.withdrawn) == (0, 3)


def test_a_withdrawn_path_that_leads_out_is_refused() -> None:
    """As that of a picture is."""
    with pytest.raises(UsageError, match=r"shop is refused as a whole: the path '\.\./a\.png' leads out"):
        join_delivery(dataset({1: "books"}), NOTHING, rows(withdrawn(path="../a.png")), "shop")


def test_a_picture_is_replaced_under_the_same_path() -> None:
    """The old one is withdrawn, the new one of the same delivery is not."""
    before, later = dataset({1: "books"}, path="a.png"), dataset({2: "books"}, path="a.png")
    labels = rows(Row("a.png", "books"), withdrawn(path="a.png"))
    joined, changes = join_delivery(before, later, labels, "shop")
    assert (labels_of(joined), changes) == ({identity(2): "books"}, Corrections(asked=1, withdrawn=1))


def test_pictures_that_nobody_knows_are_counted_and_nothing_else_happens() -> None:
    """They are named as the rows name them."""
    before = dataset({1: "books"})
    labels = rows(withdrawn(7), withdrawn(path="./gone.png"), corrected(8, "toys"))
    joined, changes = join_delivery(before, NOTHING, labels, "shop")
    assert joined.version == before.version
    assert changes == Corrections(asked=3, unknown=(identity(7), "./gone.png", identity(8)))


def test_a_picture_that_is_withdrawn_and_corrected_is_withdrawn() -> None:
    """The correction has nothing left to correct."""
    labels = rows(corrected(1, "toys"), withdrawn(1))
    joined, changes = join_delivery(dataset({1: "books"}), NOTHING, labels, "shop")
    assert (len(joined), changes) == (0, Corrections(asked=2, withdrawn=1, unknown=(identity(1),)))


def test_an_erased_picture_does_not_come_back() -> None:
    """Neither by being delivered again nor by a correction, and the version knows it still."""
    before = dataset({1: "books", 2: "toys"}).forget([identity(1)])
    joined, changes = join_delivery(before, dataset({1: "books"}), rows(corrected(1, "toys")), "shop")
    assert joined.version == before.version
    assert (labels_of(joined), changes.unknown) == ({identity(2): "toys"}, (identity(1),))


def test_classes_are_renamed_and_retired() -> None:
    """Two that get one name become one; the pictures of the retired class leave."""
    before = dataset({1: "novels", 2: "comics", 3: "toys", 4: "clothing"})
    now = with_classes(before, {"novels": "books", "comics": "books"}, ["toys"])
    assert labels_of(now) == {identity(1): "books", identity(2): "books", identity(4): "clothing"}
    assert with_classes(now, {"novels": "books", "comics": "books"}, ["toys"]).version == now.version


def test_without_changed_classes_the_dataset_is_the_same() -> None:
    """Nothing is copied."""
    before = dataset({1: "books"})
    assert with_classes(before, {}, []) is before
    assert with_classes(before, {"novels": "books"}, ["toys"]).version == before.version


NUMBERS = st.integers(0, 8)
KNOWN = st.dictionaries(NUMBERS, st.sampled_from(["books", "toys"]), max_size=8)
ALL = {number: picture_digest(photograph(number)) for number in range(9)}


@given(before=KNOWN, later=KNOWN, gone=st.lists(NUMBERS), again=st.lists(NUMBERS))
@examples
def test_what_is_joined_is_what_was_there_less_the_withdrawn_and_all_that_came(
    before: dict[int, str], later: dict[int, str], gone: list[int], again: Sequence[int]
) -> None:
    """Whatever rows come in whatever order; each picture that is named counts once or is unknown."""
    labels = rows(*map(withdrawn, gone), *(corrected(number, "clothing") for number in again))
    joined, changes = join_delivery(dataset(before), dataset(later), labels, "shop")
    expected = {number: label for number, label in before.items() if number not in gone} | later
    expected |= {number: "clothing" for number in again if number in expected}
    assert labels_of(joined) == {ALL[number]: label for number, label in expected.items()}
    assert changes.withdrawn == len(set(gone) & set(before))
    assert changes.relabelled == len(set(again) & set(expected))
    lost = [n for n in gone if n not in before] + [n for n in again if n not in expected]
    assert changes.unknown == tuple(ALL[number] for number in lost)
    assert joined.pictures(list(joined.index["image_id"])) == [
        photograph(number) for number in sorted(expected, key=ALL.__getitem__)
    ]


@given(before=KNOWN, later=KNOWN, gone=st.lists(NUMBERS))
@examples
def test_the_same_delivery_again_changes_nothing(
    before: dict[int, str], later: dict[int, str], gone: list[int]
) -> None:
    """A run that is repeated ends where the first one did."""
    labels = rows(*map(withdrawn, gone))
    once, _ = join_delivery(dataset(before), dataset(later), labels, "shop")
    twice, changes = join_delivery(once, dataset(later), labels, "shop")
    assert twice.version == once.version
    assert changes.relabelled == changes.amended == 0


@given(before=KNOWN, later=KNOWN)
@examples
def test_a_difference_leads_from_one_version_to_the_next(
    before: dict[int, str], later: dict[int, str]
) -> None:
    """What was added, withdrawn and relabelled, done as rows of a delivery, makes the later version."""
    old, new = dataset(before), dataset(later)
    difference = old.diff(new)
    brought = new.select(difference.added["image_id"])
    labels = rows(
        *(Row(None, None, image_id=each, withdrawn=True) for each in difference.withdrawn["image_id"]),
        *(
            Row(None, label, image_id=each)
            for each, label in difference.relabelled[["image_id", "new_label"]].itertuples(index=False)
        ),
    )
    joined, changes = join_delivery(old, brought, labels, "shop")
    assert joined.version == new.version
    assert not joined.diff(new)
    assert changes.unknown == ()
