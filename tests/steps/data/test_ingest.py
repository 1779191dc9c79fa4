"""Tests of steps/data/ingest.py: what bad pictures and bad deliveries get."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from materializers.errors import UsageError
from materializers.image_dataset import picture_digest
from serving.preprocess import DEFAULT_LIMITS, Limits
from steps.data.ingest import IngestSettings, in_order, ingest
from tests.serving.pictures import bomb, encode, gradient
from tests.steps.data.deliveries import good_delivery, photograph, screened, write_delivery

if TYPE_CHECKING:
    from zenml.client import Client

BAD_PICTURES = {
    "text.png": (b"this is no picture", "not_an_image"),
    "empty.png": (b"", "empty"),
    "truncated.png": (encode(gradient(60, 60))[:-400], "truncated"),
    "truncated.jpg": (encode(gradient(60, 60), "JPEG")[:-400], "truncated"),
    "bomb.png": (bomb(), "too_many_pixels"),
    "small.png": (encode(gradient(2, 60)), "too_small"),
    "heavy.png": (bytes(10_000_001), "too_many_bytes"),
}


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


def test_what_was_set_aside_and_decodes_is_shown(tmp_path: Path) -> None:
    """A picture without a label and one that is too small are on a sheet; a bomb is not opened for it."""
    pictures = {"small.png": encode(gradient(2, 60)), "unlabelled.png": photograph(2), "bomb.png": bomb()}
    rows = [{"image_path": path, "label": "" if path == "unlabelled.png" else "toys"} for path in pictures]
    dataset, screening = screened(write_delivery(tmp_path, rows, pictures))
    assert len(dataset) == 0
    assert screening.pictures["set aside"].startswith(b"\x89PNG")


def test_pictures_are_kept_as_they_were_encoded(tmp_path: Path) -> None:
    """CMYK, a turned JPEG and a WEBP are accepted, byte for byte."""
    pictures = {
        "cmyk.jpg": encode(gradient(40, 30).convert("CMYK"), "JPEG"),
        "picture.webp": encode(gradient(40, 30), "WEBP"),
    }
    rows = [{"image_path": path, "label": "books"} for path in pictures]
    dataset, screening = screened(write_delivery(tmp_path, rows, pictures))
    assert screening.set_aside == ()
    ids = [picture_digest(data) for data in pictures.values()]
    assert dataset.pictures(ids) == list(pictures.values())


def test_a_row_keeps_its_columns_and_the_name_of_who_delivered(tmp_path: Path) -> None:
    """Group, time and further columns arrive; the source names the supplier, not the folder."""
    row = {
        "image_path": "a/b.png",
        "label": "books",
        "group": "7",
        "captured_at": "2026-11-21",
        "price": "007",
    }
    dataset, _ = screened(write_delivery(tmp_path, [row], {"a/b.png": photograph(1)}))
    stored = dataset.index.iloc[0]
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


def test_the_order_of_rows_does_not_change_the_version(tmp_path: Path) -> None:
    """A version is named by its content."""
    paths = [f"{number}.png" for number in range(20)]
    pictures = {path: photograph(number) for number, path in enumerate(paths)}
    rows = [{"image_path": path, "label": "books"} for path in paths]
    forward, _ = screened(write_delivery(tmp_path / "forward", rows, pictures))
    backward, _ = screened(write_delivery(tmp_path / "backward", rows[::-1], pictures))
    assert forward.version == backward.version


@pytest.mark.parametrize("path", ["../secret.png", "/etc/hostname"])
def test_a_path_that_leaves_the_source_stops_the_ingest(tmp_path: Path, path: str) -> None:
    """It is refused as a whole, not set aside among 300 good rows."""
    (tmp_path / "secret.png").write_bytes(photograph(99))
    folder = good_delivery(tmp_path / "delivery", per_class=100)
    with (folder / "labels.csv").open("a") as file:
        file.write(f"{path},books,red\n")
    with pytest.raises(UsageError, match="refused as a whole"):
        screened(folder)


def test_results_come_in_order_with_few_items_ahead() -> None:
    """Threads finish in any order; nothing piles up in memory while the taker is slow."""
    begun: list[int] = []
    lock = threading.Lock()

    def slow_for_even(number: int) -> int:
        with lock:
            begun.append(number)
        time.sleep(0.01 if number % 2 == 0 else 0)
        return number * 10

    results = in_order(slow_for_even, range(100), threads=2)
    first = [next(results) for _ in range(10)]
    assert first == [(number, number * 10) for number in range(10)]
    assert len(begun) <= 10 + 2 * 4
    assert [result for _, result in results] == [number * 10 for number in range(10, 100)]


@pytest.mark.parametrize("given", [{}, {"source": "x", "data_version": "0123abcd"}])
def test_exactly_one_of_source_and_version_is_needed(given: dict[str, str]) -> None:
    """Neither or both is wrong use."""
    with pytest.raises(UsageError, match="either a source or a stored version"):
        ingest.entrypoint("model", "shop", IngestSettings(), **given)


def test_the_step_reads_a_source(zenml_client: Client, tmp_path: Path) -> None:
    """A model without a past has no parent and no previous splits."""
    folder = good_delivery(tmp_path, per_class=4)
    dataset, screening, previous = ingest.entrypoint(
        "a model without a past", "shop", IngestSettings(), source=str(folder), join_parent=True
    )
    assert (len(dataset), screening.rows, previous) == (12, 12, None)


@pytest.mark.parametrize(
    ("name", "wider", "served"),
    [
        ("max_bytes", 10_000_001, "no more than 10000000"),
        ("max_pixels", 50_000_001, "no more than 50000000"),
        ("min_side", 7, "no less than 8"),
    ],
)
def test_limits_wider_than_what_is_served_are_refused(name: str, wider: int, served: str) -> None:
    """Evaluation and the service would refuse what was learned from; value, limit and mend are named."""
    with pytest.raises(ValidationError) as refused:
        IngestSettings.model_validate({"limits": {name: wider}})
    [error] = refused.value.errors()
    assert error["loc"] == ("limits",)
    assert f"{name} is {wider}, and may be {served}: evaluation and the service refuse" in error["msg"]
    assert f"--set ingest.limits.{name}={served.rpartition(' ')[2]}" in error["msg"]


@pytest.mark.parametrize("limits", [{"max_bytes": 9_000_000, "max_pixels": 1_000_000, "min_side": 28}, {}])
def test_limits_as_narrow_as_what_is_served_or_narrower_are_taken(limits: dict[str, int]) -> None:
    """A delivery may be asked for more than the service asks of a picture."""
    settings = IngestSettings.model_validate({"limits": limits})
    assert settings.limits == Limits(**{**DEFAULT_LIMITS.model_dump(), **limits})
