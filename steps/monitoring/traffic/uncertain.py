"""Choose the captured pictures that a person's label helps most, and write them as a delivery to label.

First come those on which the model abstained, then those of which it was least sure, by the probability of
its answer. Each picture comes once, however often it was sent.
"""

from __future__ import annotations

import csv
import hashlib
import io
import struct
import zipfile
import zlib
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from materializers.blobs import room_for, write_file
from materializers.errors import UsageError
from materializers.release import Environment
from materializers.report import Record
from steps.data.labels import LABELS_FILE
from steps.monitoring.traffic.captures import read_captures

FOLDER = "pictures"
ZIP = ".zip"
GIVEN = ("image_path", "label", "group", "captured_at")
"""What a delivery says of a picture; ``label`` is left empty, for a person."""
GUESSED = ("model_guess", "model_probability", "model_abstained", "model_version")
"""What the model answered; a delivery keeps such columns beside its pictures."""
COLUMNS = (
    *("request_id", "at", "label", "probability", "abstained", "model_version"),
    *("image_id", "picture", "orientation"),
)
PICTURES = ("image_id", "picture")
GROUP_DIGITS = 16
JPEG, PNG, PNG_HEADER_BYTES = b"\xff\xd8", b"\x89PNG", 33
UPRIGHT = 1


class LabellingSettings(Record):
    """How many pictures are exported for labelling."""

    pictures: int = Field(default=500, ge=1, le=100_000)


def uncertain_pictures(
    model_name: str, environment: Environment, *, since: datetime, most: int
) -> pd.DataFrame:
    """The captured pictures to be labelled first.

    Args:
        model_name: the registered model.
        environment: where it was asked.
        since: the first moment.
        most: how many at most.

    Returns:
        At most ``most`` rows with the columns ``COLUMNS``, one a picture.

    Raises:
        ServiceUnreachable: the store does not answer.
    """
    read = partial(read_captures, model_name, environment, only_parts_with_pictures=True)
    # What is chosen by is small; the pictures of a month may be more than memory holds.
    rows = read(since=since, columns=[name for name in COLUMNS if name != "picture"])
    rows = rows[rows["orientation"].notna() & rows["label"].notna()]
    rows = rows.sort_values(["abstained", "probability"], ascending=[False, True], kind="stable")
    chosen = rows.drop_duplicates("image_id").head(most)
    if chosen.empty:
        return chosen.assign(picture=None)
    until = chosen["at"].max() + timedelta(microseconds=1)
    found = read(since=chosen["at"].min(), until=until, columns=PICTURES, image_ids=chosen["image_id"])
    pictures = found.dropna(subset="picture").drop_duplicates("image_id")
    return chosen.merge(pictures, on="image_id")  # less what was forgotten meanwhile


def write_for_labelling(rows: pd.DataFrame, target: Path) -> None:
    """Write pictures and ``labels.csv`` into a new folder, or into a zip archive where the name ends so.

    Args:
        rows: of :func:`uncertain_pictures`.
        target: what is to be written; a folder may be there, and must be empty.

    Raises:
        UsageError: something is there already, or it cannot be written.
    """
    chosen: list[Any] = rows.to_dict("records")
    files = {f"{FOLDER}/{row['image_id']}{_suffix(row['picture'])}": _upright(row) for row in chosen}
    files[LABELS_FILE] = _labels(chosen, list(files))
    try:
        with room_for(target.name, target.parent):
            if target.suffix.lower() == ZIP:
                if target.exists():
                    raise UsageError(f"{target} is there already: give --export-uncertain another name")
                write_file(target, _zipped(files))
                return
            if target.is_file() or (target.is_dir() and any(target.iterdir())):
                raise UsageError(f"{target} is there already: give --export-uncertain a new or empty folder")
            for name, data in files.items():  # labels.csv last: what was cut short is no delivery
                write_file(target / name, data)
    except OSError as error:
        raise UsageError(
            f"{target} cannot be written ({error}): give --export-uncertain another one"
        ) from error


def _labels(rows: list[Any], paths: list[str]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow((*GIVEN, *GUESSED))
    for path, row in zip(paths, rows, strict=True):
        given = (path, "", _group(row["request_id"]), row["at"].isoformat())
        sure = f"{row['probability']:.4f}"
        writer.writerow(
            (*given, row["label"], sure, str(bool(row["abstained"])).lower(), row["model_version"])
        )
    return text.getvalue().encode()


def _group(request_id: str) -> str:
    """A name for the pictures of one request: its id is the caller's, and a spreadsheet runs ``=…`` in it."""
    return f"request-{hashlib.sha256(request_id.encode()).hexdigest()[:GROUP_DIGITS]}"


def _zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _suffix(data: bytes) -> str:
    if data.startswith(JPEG):
        return ".jpg"
    return ".png" if data.startswith(PNG) else ".webp"


def _upright(row: Any) -> bytes:
    """A picture with what it takes that it is shown as it was sent: its orientation, and nothing else."""
    data, orientation = bytes(row["picture"]), int(row["orientation"])
    if orientation == UPRIGHT:
        return data
    exif = b"MM\x00*\x00\x00\x00\x08\x00\x01" + struct.pack(">HHIHHI", 0x0112, 3, 1, orientation, 0, 0)
    if data.startswith(JPEG):
        block = b"Exif\0\0" + exif
        return data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:]
    if data.startswith(PNG):
        chunk = b"eXIf" + exif
        framed = struct.pack(">I", len(exif)) + chunk + struct.pack(">I", zlib.crc32(chunk))
        return data[:PNG_HEADER_BYTES] + framed + data[PNG_HEADER_BYTES:]
    return _turned(data, orientation)


def _turned(data: bytes, orientation: int) -> bytes:
    """A WEBP picture turned as it is to be shown, to the pixel: its container has no place for less."""
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(data), formats=("WEBP",)) as image:
        image.getexif()[0x0112] = orientation
        turned = ImageOps.exif_transpose(image)
        buffer = io.BytesIO()
        turned.save(buffer, "WEBP", lossless=True, exif=b"")
    return buffer.getvalue()
