"""Tests of steps/data/screening.py: what each picture of a delivery comes to, before anything is checked."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd
import pytest

from materializers.errors import UsageError
from materializers.image_dataset import picture_digest
from serving.preprocess import Limits
from serving.strip_metadata import strip_metadata
from steps.data.intake import IngestSettings, read_delivery
from steps.data.screening import AT_ONCE, Delivery, in_order, mendable_under, screen_stored
from steps.data.validate import ValidateSettings, check_delivery
from tests.serving.pictures import bomb, encode, exif, gradient
from tests.steps.data.deliveries import (
    CLASSES,
    dataset_of,
    good_delivery,
    opened,
    photograph,
    screened,
    write_delivery,
)
from tests.steps.data.planted import planted_jpeg

TURNED = 6
"""The EXIF orientation of a telephone that was held upright."""
BAD_PICTURES = {
    "text.png": (b"this is no picture", "not_an_image"),
    "empty.png": (b"", "empty"),
    "truncated.png": (encode(gradient(60, 60))[:-400], "truncated"),
    "truncated.jpg": (encode(gradient(60, 60), "JPEG")[:-400], "truncated"),
    "bomb.png": (bomb(), "too_many_pixels"),
    "small.png": (encode(gradient(2, 60)), "too_small"),
    "long.png": (encode(gradient(20, 420)), "odd_shape"),
    "heavy.png": (bytes(10_000_001), "too_many_bytes"),
}


def read(
    folder: Path,
    *,
    classes: Collection[str] | None = None,
    forgotten: Collection[str] = (),
    threads: int = 2,
    processes: int = 0,
) -> Delivery:
    """Screen a delivery of the supplier ``shop``."""
    settings = IngestSettings(threads=threads, processes=processes)
    with opened(folder) as source:
        return read_delivery(source, "shop", settings, classes=classes, forgotten=forgotten)


def of_one(folder: Path, path: str, data: bytes, **columns: str) -> Path:
    """A delivery of one picture of books."""
    return write_delivery(folder, [{"image_path": path, "label": "books", **columns}], {path: data})


def test_metadata_are_cut_and_the_delivered_bytes_are_remembered(tmp_path: Path) -> None:
    """No secret is in what is stored, and the digest of what came is beside that of what stays."""
    planted = planted_jpeg(1, orientation=TURNED)
    read_one = read(of_one(tmp_path, "a.jpg", planted.data))
    row = read_one.dataset.index.iloc[0]
    [stored] = read_one.dataset.pictures([row["image_id"]])
    assert not [what for what, secret in planted.secrets.items() if secret in stored]
    assert row["source_digest"] == picture_digest(planted.data)
    assert row["image_id"] == picture_digest(stored) != row["source_digest"]


def test_the_digest_of_a_picture_without_metadata_is_that_of_the_delivered_bytes(tmp_path: Path) -> None:
    """Nothing was cut: both digests are one."""
    row = read(of_one(tmp_path, "a.png", photograph(1))).dataset.index.iloc[0]
    assert row["image_id"] == row["source_digest"] == picture_digest(photograph(1))


def test_the_orientation_moves_into_the_index(tmp_path: Path) -> None:
    """The stored picture says nothing of it, its sides are as they were encoded."""
    data = encode(gradient(40, 30), "JPEG", exif=exif(TURNED))
    dataset = read(of_one(tmp_path, "a.jpg", data)).dataset
    row = dataset.index.iloc[0]
    assert (row["orientation"], row["width"], row["height"]) == (TURNED, 40, 30)
    assert exif(TURNED) not in dataset.pictures([row["image_id"]])[0]


def test_every_picture_is_measured_on_its_way_in(tmp_path: Path) -> None:
    """Format and statistics are in the index; a small picture has no hash."""
    pictures = {"large.jpg": encode(gradient(200, 100), "JPEG"), "small.png": encode(gradient(40, 40, 1))}
    rows = [{"image_path": path, "label": "books"} for path in pictures]
    index = read(write_delivery(tmp_path, rows, pictures)).dataset.index.set_index("source")
    large, small = index.loc["shop/large.jpg"], index.loc["shop/small.png"]
    assert (large["image_format"], small["image_format"]) == ("JPEG", "PNG")
    assert index[["brightness", "contrast", "sharpness", "saturation"]].notna().all(axis=None)
    assert 0 < large["brightness"] < 255
    assert len(large["phash"]) == 16
    assert pd.isna(small["phash"])
    assert index[["faces", "texts", "masked", "cluster"]].isna().all(axis=None)  # later steps know these


@pytest.mark.parametrize("name", BAD_PICTURES)
def test_a_bad_picture_is_set_aside_with_its_reason(tmp_path: Path, name: str) -> None:
    """One bad picture costs itself alone, and the report names it as labels.csv does."""
    data, reason = BAD_PICTURES[name]
    rows = [{"image_path": "./good.png", "label": "books"}, {"image_path": f"./{name}", "label": "toys"}]
    dataset, screening = screened(write_delivery(tmp_path, rows, {"good.png": photograph(1), name: data}))
    assert [(each.path, each.label, each.reason) for each in screening.set_aside] == [
        (f"./{name}", "toys", reason)
    ]
    assert screening.set_aside[0].detail
    assert dataset.index["label"].tolist() == ["books"]


def test_rows_without_a_picture_a_path_or_a_label_are_set_aside(tmp_path: Path) -> None:
    """What labels.csv leaves out concerns its row alone."""
    rows = [
        {"image_path": "a.png", "label": "books"},
        {"image_path": "absent.png", "label": "books"},
        {"image_path": "", "label": "toys"},
        {"image_path": "b.png", "label": ""},
    ]
    folder = write_delivery(tmp_path, rows, {"a.png": photograph(1), "b.png": photograph(2)})
    dataset, screening = screened(folder)
    assert [(each.path, each.reason) for each in screening.set_aside] == [
        ("absent.png", "missing"),
        ("", "missing_path"),
        ("b.png", "missing_label"),
    ]
    assert screening.missing_values == {"image_path": 1, "label": 1}
    assert (screening.rows, len(dataset)) == (4, 1)


def test_the_quarantine_has_the_delivered_bytes_and_what_the_row_said(tmp_path: Path) -> None:
    """Metadata and all: what is mended is put back from there; what could not be read has no bytes."""
    planted = planted_jpeg(1).data
    pictures = {"unlabelled.jpg": planted, "text.png": b"this is no picture"}
    row = {"label": "toys", "group": "7", "captured_at": "2026-11-21", "price": "007"}
    rows = [{"image_path": path, **row} for path in ("text.png", "gone.png")]
    rows.insert(0, {"image_path": "unlabelled.jpg", **row, "label": ""})
    quarantine = read(write_delivery(tmp_path, rows, pictures)).quarantine
    index = quarantine.index.set_index("path")
    assert index["reason"].to_dict() == {
        "unlabelled.jpg": "missing_label",
        "text.png": "not_an_image",
        "gone.png": "missing",
    }
    for path, data in pictures.items():
        assert quarantine.picture(str(index["source_digest"][path])) == data
    assert index["kept"].tolist() == [True, True, False]
    assert not quarantine.readmittable.any()
    assert set(index["source"]) == {"shop"}
    said = index.loc["text.png"]
    assert (said["label"], said["group"], said["captured_at"]) == ("toys", "7", "2026-11-21")
    assert json.loads(str(said["extra"])) == {"price": "007"}


def test_what_a_wider_limit_would_take_can_come_back_and_nothing_else() -> None:
    """Limits as wide as what is served can be no wider: of them alone nothing comes back."""
    assert mendable_under(Limits()) == {"unknown_label"}
    assert mendable_under(Limits(min_side=28)) == {"unknown_label", "too_small"}
    narrow = Limits(min_side=28, max_pixels=1000, max_aspect_ratio=2, max_bytes=1000)
    assert mendable_under(narrow) == {"unknown_label", "too_small", "too_many_pixels", "odd_shape"}


def test_what_was_set_aside_and_decodes_is_shown(tmp_path: Path) -> None:
    """A picture without a label and one that is too small are shown; a bomb is not opened for it."""
    pictures = {"small.png": encode(gradient(2, 60)), "unlabelled.png": photograph(2), "bomb.png": bomb()}
    rows = [{"image_path": path, "label": "" if path == "unlabelled.png" else "toys"} for path in pictures]
    dataset, screening = screened(write_delivery(tmp_path, rows, pictures))
    assert len(dataset) == 0
    shown = {f"set aside {picture_digest(pictures[path])[:16]}" for path in ("small.png", "unlabelled.png")}
    assert set(screening.pictures) == shown
    assert all(png.startswith(b"\x89PNG") for png in screening.pictures.values())


@pytest.mark.parametrize("known_as", ["delivered", "stored"])
@pytest.mark.parametrize("label", ["books", ""])
def test_a_forgotten_picture_stays_out_and_leaves_no_byte(tmp_path: Path, known_as: str, label: str) -> None:
    """By either digest, with and without a label: it is set aside, and the quarantine has only its row."""
    planted = planted_jpeg(1)
    folder = of_one(tmp_path, "a.jpg", planted.data)
    row = read(folder).dataset.index.iloc[0]
    digest = row["source_digest"] if known_as == "delivered" else row["image_id"]
    write_delivery(folder, [{"image_path": "a.jpg", "label": label}], {"a.jpg": planted.data})
    read_again = read(folder, forgotten=frozenset({digest}))
    assert len(read_again.dataset) == 0
    assert [each.reason for each in read_again.screening.set_aside] == ["forgotten"]
    assert read_again.screening.pictures == {}
    kept = read_again.quarantine.index.iloc[0]
    assert (kept["reason"], kept["kept"], kept["size"]) == ("forgotten", False, 0)
    assert pd.isna(kept["source_digest"])
    assert read_again.quarantine.kept_digests() == []


@pytest.mark.parametrize("known_as", ["delivered", "stored"])
def test_a_forgotten_picture_that_cannot_be_used_any_more_leaves_no_byte_either(
    tmp_path: Path, known_as: str
) -> None:
    """Limits that became narrower do not bring it into the quarantine, under other metadata neither."""
    small = planted_jpeg(1, gradient(2, 60)).data
    digest = picture_digest(small if known_as == "delivered" else strip_metadata(small).data)
    read_one = read(of_one(tmp_path, "a.jpg", small), forgotten=frozenset({digest}))
    assert [each.reason for each in read_one.screening.set_aside] == ["forgotten"]
    assert read_one.quarantine.kept_digests() == []


def test_the_closing_line_counts_as_the_report_does(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A picture of an unknown class, delivered twice, is one that is set aside; of one there is no plural."""
    caplog.set_level("INFO", "shutterline")
    paths = {"a.png": "toys", "b.png": "toys", "hat.png": "hats", "again.png": "hats", "gone.png": "toys"}
    pictures = {"a.png": photograph(1), "b.png": photograph(2), "hat.png": photograph(3)}
    pictures["again.png"] = photograph(3)
    rows = [{"image_path": path, "label": label} for path, label in paths.items()]
    read_all = read(write_delivery(tmp_path, rows, pictures), classes=CLASSES)
    _, report = check_delivery(read_all.dataset, read_all.screening, CLASSES, ValidateSettings())
    assert (report.accepted, len(report.set_aside)) == (2, 2)
    said = "ingest: 2 pictures, 2 set aside (1 for a label that is not configured)"
    assert caplog.messages[-1].startswith(said)
    read(of_one(tmp_path / "one", "a.png", photograph(1)), classes=CLASSES)
    assert caplog.messages[-1].startswith("ingest: 1 picture, 0 set aside (")


def test_pictures_of_an_unknown_class_are_kept_and_counted_by_validation(tmp_path: Path) -> None:
    """They can come back with their class; validation sees them and sets them aside."""
    folder = good_delivery(tmp_path, per_class=40)
    (folder / "hat.png").write_bytes(photograph(900))
    with (folder / "labels.csv").open("a") as file:
        file.write("hat.png,hats,red\n")
    read_all = read(folder, classes=CLASSES)
    [row] = read_all.quarantine.index.to_dict("records")
    assert (row["path"], row["label"], row["reason"]) == ("hat.png", "hats", "unknown_label")
    assert "clothing, books, toys" in row["detail"]
    assert read_all.quarantine.picture(row["source_digest"]) == photograph(900)
    assert read_all.quarantine.readmittable.tolist() == [True]
    assert read_all.screening.set_aside == ()
    accepted, report = check_delivery(read_all.dataset, read_all.screening, CLASSES, ValidateSettings())
    assert [(each.path, each.label, each.reason) for each in report.set_aside] == [
        ("hat.png", "hats", "unknown_label")
    ]
    assert len(accepted) == len(read_all.dataset) - 1
    unknown = next(check for check in report.checks if check.name == "unknown_labels")
    assert unknown.measured == pytest.approx(1 / 121)


def test_without_a_list_of_classes_every_label_is_known(tmp_path: Path) -> None:
    """The quarantine stays empty."""
    assert len(read(good_delivery(tmp_path, per_class=2)).quarantine) == 0


def test_pictures_without_metadata_are_kept_as_they_were_encoded(tmp_path: Path) -> None:
    """CMYK and WEBP are accepted, byte for byte."""
    pictures = {
        "cmyk.jpg": encode(gradient(40, 30).convert("CMYK"), "JPEG"),
        "picture.webp": encode(gradient(40, 30), "WEBP"),
    }
    rows = [{"image_path": path, "label": "books"} for path in pictures]
    dataset, screening = screened(write_delivery(tmp_path, rows, pictures))
    assert screening.set_aside == ()
    ids = [picture_digest(data) for data in pictures.values()]
    assert dataset.pictures(ids) == list(pictures.values())


@pytest.mark.parametrize("path", ["a/b.png", "./a/b.png", "a/./b.png"])
def test_a_row_keeps_its_columns_and_the_name_of_who_delivered(tmp_path: Path, path: str) -> None:
    """Group, time and further columns arrive; the source names the supplier and the path without ``./``."""
    said = {"group": "7", "captured_at": "2026-11-21", "price": "007"}
    stored = read(of_one(tmp_path, path, photograph(1), **said)).dataset.index.iloc[0]
    assert (stored["group"], stored["captured_at"], stored["price"]) == ("7", "2026-11-21", "007")
    assert (stored["source"], stored["width"], stored["height"]) == ("shop/a/b.png", 12, 12)


def test_one_picture_named_twice_counts_once(tmp_path: Path) -> None:
    """The same bytes with the same label are a duplicate; with another label the later row stands."""
    pictures = {"a.png": photograph(1), "copy of a.png": photograph(1), "b.png": photograph(2)}
    rows = [
        {"image_path": "a.png", "label": "books"},
        {"image_path": "copy of a.png", "label": "books"},
        {"image_path": "b.png", "label": "books"},
        {"image_path": "b.png", "label": "toys"},
    ]
    dataset, screening = screened(write_delivery(tmp_path, rows, pictures))
    assert (screening.duplicate_rows, screening.conflicts) == (1, ("b.png",))
    assert dataset.labels([picture_digest(photograph(1)), picture_digest(photograph(2))]) == ["books", "toys"]


def test_two_pictures_that_differ_in_metadata_alone_are_one(tmp_path: Path) -> None:
    """What counts is what is stored."""
    pictures = {f"{n}.jpg": planted_jpeg(n, gradient(40, 30)).data for n in range(2)}
    rows = [{"image_path": path, "label": "books"} for path in pictures]
    dataset, screening = screened(write_delivery(tmp_path, rows, pictures))
    assert (len(dataset), screening.duplicate_rows) == (1, 1)


def test_the_order_of_rows_does_not_change_the_version(tmp_path: Path) -> None:
    """A version is named by its content."""
    paths = [f"{number}.png" for number in range(20)]
    pictures = {path: photograph(number) for number, path in enumerate(paths)}
    rows = [{"image_path": path, "label": "books"} for path in paths]
    forward, _ = screened(write_delivery(tmp_path / "forward", rows, pictures))
    backward, _ = screened(write_delivery(tmp_path / "backward", rows[::-1], pictures))
    assert forward.version == backward.version


@pytest.mark.parametrize(("threads", "processes"), [(8, 1), (2, 2)])
def test_the_number_of_workers_changes_nothing(tmp_path: Path, threads: int, processes: int) -> None:
    """What is set aside comes in the order of the rows, and of two labels the later row's stands."""
    rows = [{"image_path": f"{n}.png", "label": CLASSES[n % 3] if n % 4 else ""} for n in range(40)]
    rows += [{"image_path": f"{n}.png", "label": "toys"} for n in range(1, 40, 2)]
    rows += [{"image_path": name, "label": "toys"} for name in BAD_PICTURES]
    pictures = {f"{n}.png": photograph(n) for n in range(40)}
    bad = {name: data for name, (data, _) in BAD_PICTURES.items()}
    folder = write_delivery(tmp_path, rows, {**pictures, "0.png": planted_jpeg(0).data, **bad})
    one, more = read(folder, threads=1, processes=1), read(folder, threads=threads, processes=processes)
    assert one.dataset.version == more.dataset.version
    assert one.dataset.index["source_digest"].tolist() == more.dataset.index["source_digest"].tolist()
    assert one.screening == more.screening
    unlabelled = [f"{n}.png" for n in range(0, 40, 4)]
    assert [each.path for each in more.screening.set_aside] == [*unlabelled, *BAD_PICTURES]
    assert more.quarantine.index["path"].tolist() == [*unlabelled, *BAD_PICTURES]
    assert set(more.dataset.labels([picture_digest(photograph(n)) for n in range(1, 40, 2)])) == {"toys"}


@pytest.mark.parametrize("path", ["../secret.png", "/etc/hostname"])
def test_a_path_that_leaves_the_source_stops_the_ingest(tmp_path: Path, path: str) -> None:
    """It is refused as a whole, not set aside among 300 good rows."""
    (tmp_path / "secret.png").write_bytes(photograph(99))
    folder = good_delivery(tmp_path / "delivery", per_class=100)
    with (folder / "labels.csv").open("a") as file:
        file.write(f"{path},books,red\n")
    with pytest.raises(UsageError, match="refused as a whole"):
        screened(folder)


def test_rows_about_stored_pictures_are_no_pictures_of_the_delivery(tmp_path: Path) -> None:
    """They are counted as rows, and nothing is read or set aside for them."""
    rows = [
        {"image_path": "a.png", "label": "books", "image_id": "", "withdrawn": ""},
        {"image_path": "", "label": "toys", "image_id": "a" * 64, "withdrawn": ""},
        {"image_path": "gone.png", "label": "", "image_id": "", "withdrawn": "yes"},
    ]
    read_all = read(write_delivery(tmp_path, rows, {"a.png": photograph(1)}))
    assert (read_all.screening.rows, len(read_all.dataset), read_all.screening.set_aside) == (3, 1, ())
    assert read_all.screening.missing_values == {"image_path": 0, "label": 0}


def test_a_stored_version_is_screened_by_its_index() -> None:
    """Rows and gaps in its columns are counted; nothing is set aside again."""
    dataset = dataset_of(["books", "toys", "toys"], ["vase", None, None])
    screening = screen_stored(dataset, "shop")
    assert (screening.source_name, screening.rows, screening.set_aside) == ("shop", 3, ())
    assert screening.missing_values == {"label": 0, "group": 2, "captured_at": 3}


def test_results_come_in_order_with_few_items_ahead() -> None:
    """Threads finish in any order; nothing piles up in memory while the taker is slow."""
    begun: list[int] = []
    lock = threading.Lock()

    def slow_for_some(numbers: Sequence[int]) -> list[int]:
        with lock:
            begun.extend(numbers)
        time.sleep(0.01 if numbers[0] % 8 == 0 else 0)
        return [number * 10 for number in numbers]

    results = in_order(slow_for_some, range(99), threads=2)
    first = [next(results) for _ in range(10)]
    assert first == [(number, number * 10) for number in range(10)]
    assert len(begun) <= 10 + (2 + 1) * AT_ONCE
    assert [result for _, result in results] == [number * 10 for number in range(10, 99)]


def test_a_fault_in_a_thread_is_raised_and_nothing_more_is_begun() -> None:
    """What waits is given up."""
    begun: list[int] = []

    def breaks(numbers: Sequence[int]) -> list[int]:
        begun.extend(numbers)
        if 0 in numbers:
            raise UsageError("the delivery changed")
        time.sleep(0.1)
        return list(numbers)

    with pytest.raises(UsageError, match="changed"):
        list(in_order(breaks, range(1000), threads=2))
    assert len(begun) <= (2 + 1) * AT_ONCE
