"""What a version changed is counted per class, named, and shown."""

from __future__ import annotations

import pandas as pd

from actions.data_diff import difference_report
from materializers.image_dataset import ImageDataset, picture_digest
from materializers.picture_sheet import places_of
from tests.actions.kept import dataset, photograph, picture


def two_versions() -> tuple[ImageDataset, ImageDataset]:
    """One withdrawn, one relabelled, one with another price, two added."""
    before = ImageDataset.from_pictures(
        picture(seed, "tops" if seed < 4 else "bags", extra={"price": "9"}) for seed in range(6)
    )
    ids = [picture_digest(photograph(seed)) for seed in range(6)]
    corrected = pd.DataFrame({"image_id": [ids[1]], "label": ["bags"]})
    cheaper = pd.DataFrame({"image_id": [ids[2]], "price": ["8"]})
    after = before.without([ids[0]]).amend(corrected).amend(cheaper).join(dataset(7, 8, label="shoes"))
    return before, after


def test_changes_are_counted_per_class() -> None:
    """Before + added − withdrawn − relabelled from + relabelled to is after."""
    report = difference_report(*two_versions())
    assert (report.added, report.withdrawn, report.relabelled) == (2, 1, 1)
    assert (report.rows_before, report.rows_after) == (6, 7)
    by_class = {row.name: row for row in report.classes}
    assert list(by_class) == ["bags", "shoes", "tops"]
    for row in report.classes:
        moved = row.relabelled_to - row.relabelled_from
        assert row.after == row.before + row.added - row.withdrawn + moved
    assert (by_class["tops"].before, by_class["tops"].after) == (4, 2)
    assert by_class["shoes"].added == 2
    assert [(move.before, move.after, move.pictures) for move in report.moves] == [("tops", "bags", 1)]
    assert report.columns == {"price": 1}


def test_changed_pictures_are_named_and_shown() -> None:
    """A sheet a kind of change, from the version that has the picture."""
    before, after = two_versions()
    report = difference_report(before, after)
    changes = {each.image_id: (each.change, each.before, each.after) for each in report.pictures_named}
    ids = [picture_digest(photograph(seed)) for seed in range(9)]
    assert changes == {
        ids[7]: ("added", None, "shoes"),
        ids[8]: ("added", None, "shoes"),
        ids[0]: ("withdrawn", "tops", None),
        ids[1]: ("relabelled", "tops", "bags"),
    }
    titles = {name.partition(" ")[2]: places_of(png) for name, png in report.pictures.items()}
    assert {title: set(shown or ()) for title, shown in titles.items()} == {
        "added shoes": {ids[7], ids[8]},
        "withdrawn tops": {ids[0]},
        "relabelled tops to bags": {ids[1]},
    }
    assert report.page().count("<img ") == 3


def test_a_version_compared_with_itself_changed_nothing() -> None:
    """The page says so, and no class is missing."""
    before, _ = two_versions()
    report = difference_report(before, before)
    assert (report.added, report.withdrawn, report.relabelled, report.columns) == (0, 0, 0, {})
    assert "Nothing changed" in report.page()
    assert [row.before for row in report.classes] == [row.after for row in report.classes] == [2, 4]


def test_an_empty_version_is_compared_too() -> None:
    """Everything is added, or withdrawn."""
    _, after = two_versions()
    nothing = dataset()
    assert difference_report(nothing, after).added == 7
    assert difference_report(after, nothing).withdrawn == 7
    assert difference_report(nothing, nothing).classes == ()
