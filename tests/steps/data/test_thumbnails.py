"""Tests of steps/data/thumbnails.py: few and small sheets, upright, each of which knows what it shows."""

import io

import numpy as np
from PIL import Image

from materializers.data_report import SuspiciousLabel
from materializers.image_dataset import ImageDataset, Picture
from materializers.picture_sheet import places_of
from steps.data.thumbnails import (
    PAIR_SIDE,
    SIDE,
    class_sheets,
    group_sheets,
    sheet,
    suspicious_sheets,
    unknown_sheet,
)
from tests.serving.pictures import encode
from tests.steps.data.deliveries import CLASSES, dataset_of


def photographs(count: int) -> ImageDataset:
    """Pictures that do not compress well, of two sides."""
    rng = np.random.default_rng(0)
    noise = (Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)) for _ in range(count))
    return ImageDataset.from_pictures(
        Picture(encode(image.resize((320, 240))), f"class {n % 40:02d}", 320, 240, 1, f"shop/{n}.png")
        for n, image in enumerate(noise)
    )


def test_each_class_has_a_strip_named_by_its_place_in_the_report() -> None:
    """A class without pictures has none; the others keep their number."""
    sheets = class_sheets(dataset_of(["books", "toys"] * 20), CLASSES)
    assert list(sheets) == ["class 02 books", "class 03 toys"]
    with Image.open(io.BytesIO(sheets["class 02 books"])) as image:
        assert image.size == (12 * SIDE, SIDE)


def test_many_classes_have_few_pictures_each_and_a_page_stays_small() -> None:
    """Of forty classes thirty are shown, with five pictures each, in well under a megabyte."""
    dataset = photographs(400)
    sheets = class_sheets(dataset, sorted(dataset.index["label"].unique()))
    assert len(sheets) == 30
    assert sum(len(places_of(data) or {}) for data in sheets.values()) == 150
    assert sum(len(data) for data in sheets.values()) < 1_000_000


def test_a_sheet_says_which_picture_lies_where() -> None:
    """So that one that is forgotten can be erased from it."""
    dataset = dataset_of(["books"] * 3)
    ids = dataset.index["image_id"].tolist()
    assert places_of(sheet(dataset, ids[::-1])) == {
        ids[2]: [(0, 0, SIDE, SIDE)],
        ids[1]: [(SIDE, 0, 2 * SIDE, SIDE)],
        ids[0]: [(2 * SIDE, 0, 3 * SIDE, SIDE)],
    }


def test_near_duplicates_lie_side_by_side_and_only_some_groups_are_shown() -> None:
    """Of thirty groups of six, twelve sheets of four."""
    dataset = dataset_of(["books"] * 6)
    sheets = group_sheets(dataset, [dataset.index["image_id"].tolist()] * 30)
    assert list(sheets) == [f"near-duplicates {number:02d}" for number in range(1, 13)]
    places = places_of(sheets["near-duplicates 01"]) or {}
    assert [boxes[0][0] for boxes in places.values()] == [n * (PAIR_SIDE + 4) for n in range(4)]


def test_a_suspicious_picture_lies_beside_one_of_each_label() -> None:
    """The examples are no suspicious pictures themselves."""
    dataset = dataset_of(["books", "toys", "books", "toys"])
    by_label = dataset.index.groupby("label")["image_id"].apply(list)
    doubted, trusted = by_label["books"]
    doubt = SuspiciousLabel(image_id=doubted, label="books", likely="toys", confidence=0.9)
    sheets = suspicious_sheets(dataset, [doubt])
    assert set(places_of(sheets["suspicious 01"]) or {}) == {doubted, trusted, by_label["toys"][0]}


def test_pictures_of_unknown_labels_are_shown_from_the_delivery() -> None:
    """Where there are none, there is no sheet."""
    delivery = dataset_of([*CLASSES, "hats"])
    accepted = delivery.select(delivery.index.loc[delivery.index["label"] != "hats", "image_id"])
    (hat,) = delivery.index.loc[delivery.index["label"] == "hats", "image_id"]
    assert set(places_of(unknown_sheet(delivery, accepted)["unknown labels"]) or {}) == {hat}
    assert unknown_sheet(accepted, accepted) == {}
