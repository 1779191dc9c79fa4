"""Pictures that the model was unsure of are written for labelling, and come back as a delivery."""

from __future__ import annotations

import csv
import io
import zipfile
from collections import Counter
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from materializers.errors import UsageError
from steps.data.intake import IngestSettings, read_delivery
from steps.data.labels import LABELS_FILE
from steps.data.sources import open_source
from steps.monitoring.traffic import captures
from steps.monitoring.traffic.uncertain import uncertain_pictures, write_for_labelling
from tests.captured import CLASSES, MODEL, NOON, answered, picture, shipped
from tests.materializers.stores import disk_store
from tests.serving.pictures import encode, exif, gradient


def photograph(seed: int, kind: str = "JPEG", orientation: int = 1) -> bytes:
    """A picture that lies as its metadata say."""
    return encode(
        gradient(96, 64, seed), kind, exif=exif(orientation), **({} if kind == "PNG" else {"quality": 95})
    )


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An artifact store of its own."""
    (tmp_path / "store").mkdir()
    monkeypatch.setattr(captures, "active_store", lambda: disk_store(tmp_path / "store"))
    return tmp_path / "store"


def exported(target: Path, most: int = 10) -> Path:
    """Write what was captured around noon."""
    rows = uncertain_pictures(MODEL.name, "staging", since=NOON - timedelta(hours=1), most=most)
    write_for_labelling(rows, target)
    return target


def rows_of(data: bytes) -> list[dict[str, str]]:
    """The rows of a ``labels.csv``."""
    return list(csv.DictReader(io.StringIO(data.decode())))


def labels_of(target: Path) -> list[dict[str, str]]:
    """What was written beside the pictures."""
    return rows_of((target / LABELS_FILE).read_bytes())


def test_abstentions_come_first_and_then_the_least_certain(root: Path, tmp_path: Path) -> None:
    """Each picture once; what has no picture, or no answer, cannot be labelled."""
    requests = [
        answered("sure", picture(photograph(1), (0.9, 0.1, 0))),
        answered("unsure", picture(photograph(2), (0.4, 0.35, 0.25))),
        answered("abstained", picture(photograph(3), (0.5, 0.3, 0.2), abstained=True)),
        answered("again", picture(photograph(2), (0.45, 0.3, 0.25))),
        answered("refused", status=400, reason="empty"),
    ]
    shipped(root, tmp_path / "1", requests, pictures=1.0)
    shipped(root, tmp_path / "2", [answered("no picture", picture(photograph(4), (0.34, 0.33, 0.33)))])
    rows = labels_of(exported(tmp_path / "all"))
    assert [row["model_probability"] for row in rows] == ["0.5000", "0.4000", "0.9000"]
    assert [row["label"] for row in rows] == ["", "", ""]
    assert [(row["model_guess"], row["model_probability"], row["model_abstained"]) for row in rows] == [
        ("bags", "0.5000", "true"),
        ("bags", "0.4000", "false"),
        ("bags", "0.9000", "false"),
    ]
    assert labels_of(exported(tmp_path / "two", most=2)) == rows[:2]


@pytest.mark.parametrize("first", ["=", "+", "-", "@"])
def test_what_a_caller_calls_a_request_is_no_formula_of_a_spreadsheet(
    root: Path, tmp_path: Path, first: str
) -> None:
    """The pictures of a request share a group, others have others; no cell begins as a formula does."""
    named = f'{first}HYPERLINK("https://evil.example")'
    requests = [
        answered(named, picture(photograph(1)), picture(photograph(2))),
        answered(f"{named} ", picture(photograph(3))),
    ]
    shipped(root, tmp_path / "spool", requests, pictures=1.0)
    target = exported(tmp_path / "all")
    together, alone = sorted(Counter(row["group"] for row in labels_of(target)).values(), reverse=True)
    assert (together, alone) == (2, 1)
    cells = [cell for row in labels_of(target) for cell in row.values()]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
    assert b"evil.example" not in (target / LABELS_FILE).read_bytes()


@pytest.mark.parametrize("name", ["to-label", "to-label.zip"])
def test_filled_in_it_is_a_delivery(root: Path, tmp_path: Path, name: str) -> None:
    """Every picture with its label, one group a request, and when it was asked about."""
    requests = [answered(f"order-{number}", picture(photograph(number))) for number in range(3)]
    shipped(root, tmp_path / "spool", requests, pictures=1.0)
    target = exported(tmp_path / name)
    fill_in(target)
    with open_source(str(target)) as source:
        delivery = read_delivery(source, "captured", IngestSettings(), classes=CLASSES).dataset
    index = delivery.index
    assert index["group"].nunique() == 3
    assert set(index["label"]) == {"tops"}
    assert set(index["model_guess"]) == {"bags"}
    assert len(delivery.pictures(list(index["image_id"]))) == 3


def fill_in(target: Path) -> None:
    """Give every picture the label ``tops``, as a person does."""
    if target.suffix == ".zip":
        with zipfile.ZipFile(target) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
    else:
        files = {LABELS_FILE: (target / LABELS_FILE).read_bytes()}
    rows = [{**row, "label": "tops"} for row in rows_of(files[LABELS_FILE])]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    files[LABELS_FILE] = text.getvalue().encode()
    if target.suffix != ".zip":
        (target / LABELS_FILE).write_bytes(files[LABELS_FILE])
        return
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_picture_is_shown_as_it_was_sent(root: Path, tmp_path: Path, kind: str, orientation: int) -> None:
    """Upright, to the pixel, and with no more of its metadata than that."""
    sent = photograph(5, kind, orientation)
    shipped(root, tmp_path / "spool", [answered("a", picture(sent))], pictures=1.0)
    (row,) = labels_of(exported(tmp_path / "out"))
    written = tmp_path / "out" / row["image_path"]
    with Image.open(io.BytesIO(sent)) as before, Image.open(written) as after:
        sent_so, written_so = (np.asarray(ImageOps.exif_transpose(image)) for image in (before, after))
        assert np.array_equal(sent_so, written_so)
        assert set(after.getexif()) <= {0x0112}


@pytest.mark.parametrize("name", ["folder", "archive.zip", "file", "file/below"])
def test_what_is_there_is_not_written_over(root: Path, tmp_path: Path, name: str) -> None:
    """A person may have labelled half of it."""
    shipped(root, tmp_path / "spool", [answered("a", picture(photograph(1)))], pictures=1.0)
    (tmp_path / "folder").mkdir()
    kept = [tmp_path / "folder" / "kept", tmp_path / "archive.zip", tmp_path / "file"]
    for path in kept:
        path.write_text("kept")
    with pytest.raises(UsageError, match="--export-uncertain"):
        exported(tmp_path / name)
    assert {path.read_text() for path in kept} == {"kept"}
