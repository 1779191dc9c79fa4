"""Groups of test pictures: by a column, by a property, and why there are none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest

from steps.evaluation.slices.groups import TOO_FEW, Groups, NotGrouped, groups_of
from steps.evaluation.slices.settings import SlicesSettings
from tests.steps.evaluation.slices.examples import dataset

FEW = SlicesSettings(min_n=2, max_groups=4, quarters=("price", "captured_at"))


def grouped(
    column: str, settings: SlicesSettings = FEW, **columns: Sequence[Any]
) -> tuple[Groups, list[str]]:
    """The groups, and the group of each picture in the order of the columns."""
    count = len(next(iter(columns.values())))
    rows = dataset(count, place=[f"{each:03}" for each in range(count)], **columns).index
    groups = groups_of(rows, column, settings)
    names = [groups.names[number] if number != TOO_FEW else "" for number in groups.number]
    return groups, pd.Series(names, index=rows["place"]).sort_index().tolist()


def test_a_column_groups_pictures_by_its_values() -> None:
    """Sorted by name, with their sizes."""
    groups, names = grouped("shop", shop=["b", "a", "b", "a", "b"])
    assert names == ["b", "a", "b", "a", "b"]
    assert groups.names == ("a", "b")
    assert groups.sizes.tolist() == [2, 3]
    assert groups.too_few == {}


def test_pictures_without_a_value_are_a_group() -> None:
    """Nothing is guessed for them, and they are not left out."""
    assert grouped("shop", shop=["a", None, "a", None])[1] == ["a", "(missing)", "a", "(missing)"]


def test_a_group_that_is_too_small_is_listed_and_not_compared() -> None:
    """Its pictures are in none of the groups."""
    groups, names = grouped("shop", shop=["a", "c", "b", "a", "b"])
    assert names == ["a", "", "b", "a", "b"]
    assert groups.names == ("a", "b")
    assert groups.too_few == {"c": 1}
    assert groups.sizes.tolist() == [2, 2]


def test_brightness_is_cut_into_thirds() -> None:
    """Of about as many pictures each; the dark ones come first."""
    values = [10.0, 200.0, 20.0, 210.0, 110.0, 100.0]
    dark, middle, bright = "1 of 3: 10 to 20", "2 of 3: 100 to 110", "3 of 3: 200 to 210"
    assert grouped("brightness", brightness=values)[1] == [dark, bright, dark, bright, middle, middle]


def test_a_brightness_that_nobody_computed_is_missing() -> None:
    """As pictures have it that were stored by an earlier version."""
    _, names = grouped("brightness", brightness=[10.0, 20.0, 30.0, 40.0, 50.0, 60.0, None, None])
    assert names[6:] == ["(missing)", "(missing)"]
    assert names[0] == "1 of 3: 10 to 20"


def test_equal_numbers_stay_together() -> None:
    """Two sizes are two groups, however many pictures have them; a name is the size alone."""
    sides = [8] * 7 + [16] * 2
    _, names = grouped("picture_size", width=sides, height=sides)
    assert names == ["1 of 2: 64"] * 7 + ["2 of 2: 256"] * 2


def test_a_column_that_is_called_picture_size_is_the_column() -> None:
    """What a delivery says goes before what we would measure."""
    assert grouped("picture_size", picture_size=["S", "M", "S", "M"])[1] == ["S", "M", "S", "M"]


def test_numbers_are_cut_into_quarters_where_that_is_asked_for() -> None:
    """As numbers and not as text; what is no finite number is missing."""
    prices = ["9", "10", "100", "101", "20", "21", "1e3", "1001", "free", "inf"]
    _, names = grouped("price", FEW.model_copy(update={"max_groups": 5}), price=prices)
    assert names[:2] == ["1 of 4: 9 to 10"] * 2
    assert names[2:4] == ["3 of 4: 100 to 101"] * 2
    assert names[6:] == ["4 of 4: 1,000 to 1,001"] * 2 + ["(missing)"] * 2


def test_times_are_cut_into_quarters() -> None:
    """By the day that they are in, UTC."""
    days = ["2026-01-05T10:00:00Z", "2026-01-01T23:00:00-05:00", "2026-03-01", "2026-04-01"] * 2
    _, names = grouped("captured_at", captured_at=days)
    assert names[:4] == [
        "2 of 4: 2026-01-05",
        "1 of 4: 2026-01-02",
        "3 of 4: 2026-03-01",
        "4 of 4: 2026-04-01",
    ]


def test_the_source_is_who_delivered() -> None:
    """Not the path within the delivery."""
    sources = ["north/a/1.png", "north/b/2.png", "south/a/1.png", "south/c.png"]
    assert grouped("source", source=sources)[1] == ["north", "north", "south", "south"]


@pytest.mark.parametrize(
    ("column", "values", "reason"),
    [
        ("shop", ["a"] * 4, "every test picture has the same shop: a"),
        ("shop", [None] * 4, r"every test picture has the same shop: \(missing\)"),
        (
            "shop",
            list("abcde") * 2,
            r"shop has 5 values, and at most 4 make groups \(evaluate.slices.max_groups",
        ),
        (
            "shop",
            ["a", "a", "a", "b"],
            r"fewer than two .* 2 test pictures \(evaluate.slices.min_n\): a 3, b 1",
        ),
        ("price", ["free", "dear"] * 2, "price holds no number"),
        ("shop", ["a", "b" * 201] * 2, "shop has values of more than 200 characters"),
    ],
)
def test_a_column_that_makes_no_groups_says_why(column: str, values: list[Any], reason: str) -> None:
    """In one line, with the setting that it is about."""
    with pytest.raises(NotGrouped, match=reason) as raised:
        grouped(column, FEW, **{column: values})
    assert "\n" not in str(raised.value)


def test_a_measure_of_the_index_is_a_column_too() -> None:
    """A count that is missing for some pictures groups them as well."""
    rows = dataset(6).index.assign(faces=pd.array([0, 0, 1, 1, None, None], dtype="Int64"))
    assert groups_of(rows, "faces", FEW).names == ("(missing)", "0", "1")


def test_a_column_that_is_not_there_names_those_that_are() -> None:
    """So that a slip of the pen is seen."""
    with pytest.raises(NotGrouped, match=r"labels.csv brought no column shopp; the data has: place, shop"):
        grouped("shopp", shop=["a", "b"])
    with pytest.raises(NotGrouped, match="no column shop; the data has none beside the label"):
        groups_of(dataset(4).index, "shop", FEW)


def test_a_property_that_is_the_same_everywhere_makes_no_groups() -> None:
    """Pictures of one size, and pictures whose brightness nobody computed."""
    rows = dataset(4).index
    with pytest.raises(NotGrouped, match="every test picture has the same picture_size: 64"):
        groups_of(rows, "picture_size", FEW)
    with pytest.raises(NotGrouped, match=r"the same brightness: \(missing\)"):
        groups_of(rows, "brightness", FEW)
