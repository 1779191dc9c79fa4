"""Deliveries made on the spot: folders of pictures, archives of them, and Parquet files."""

import csv
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from materializers.data_report import Screening
from materializers.image_dataset import ImageDataset, Picture
from steps.data.files import Source, SourceLimits
from steps.data.intake import IngestSettings, read_delivery
from steps.data.sources import open_source
from tests.serving.pictures import encode, gradient

CLASSES = ["clothing", "books", "toys"]
SIDE = 12
LIMITS = SourceLimits(picture_bytes=10_000_000, labels_bytes=1_000_000)


def photograph(number: int) -> bytes:
    """Encode a small picture that no other number has."""
    return encode(gradient(SIDE, SIDE, seed=number))


def write_delivery(
    folder: Path,
    rows: Sequence[Mapping[str, str]],
    pictures: Mapping[str, bytes],
    encoding: str = "utf-8",
) -> Path:
    """Write pictures by path, and labels.csv with the columns of the first row."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, data in pictures.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    with (folder / "labels.csv").open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def good_delivery(folder: Path, per_class: int = 40, first: int = 0) -> Path:
    """Write ``per_class`` pictures of each class, numbered from ``first``."""
    numbers = range(first, first + per_class * len(CLASSES))
    paths = {f"images/{number:05d}.png": number for number in numbers}
    rows = [
        {"image_path": path, "label": CLASSES[number % len(CLASSES)], "colour": f"colour {number % 7}"}
        for path, number in paths.items()
    ]
    return write_delivery(folder, rows, {path: photograph(number) for path, number in paths.items()})


def sorted_into_folders(folder: Path, per_class: int = 3) -> Path:
    """Write ``per_class`` pictures of each class, each into the folder of its class, without labels.csv."""
    for number in range(per_class * len(CLASSES)):
        path = folder / CLASSES[number % len(CLASSES)] / f"{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photograph(number))
    return folder


def write_parquet(
    path: Path, columns: Mapping[str, Any], row_group_size: int | None = None, **options: Any
) -> Path:
    """Write columns as one file; ``image`` holds bytes, or a dict of ``bytes`` and ``path`` a row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(dict(columns)), path, row_group_size=row_group_size, **options)
    return path


def as_parquet(folder: Path, target: Path, row_group_size: int | None = None) -> Path:
    """Write what ``good_delivery`` wrote as one Parquet file, in the layout of Hugging Face."""
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    pictures = [
        {"bytes": (folder / row["image_path"]).read_bytes(), "path": row["image_path"]} for row in rows
    ]
    beside = {name: [row[name] for row in rows] for name in rows[0] if name != "image_path"}
    return write_parquet(target, {"image": pictures, **beside}, row_group_size)


def zipped(folder: Path, target: Path, top: str = "") -> Path:
    """Pack a folder as .zip, below ``top``."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, top + str(path.relative_to(folder)))
    return target


def tarred(folder: Path, target: Path, top: str = ".") -> Path:
    """Pack a folder as .tar, compressed as the name says, below ``top``."""
    kind = target.suffix.removeprefix(".").replace("tgz", "gz").replace("tar", "")
    with tarfile.open(target, f"w:{kind}") as archive:  # type: ignore[call-overload]
        archive.add(folder, top)
    return target


def opened(address: object, limits: SourceLimits = LIMITS) -> Source:
    """Open a source with the limits of these tests."""
    return open_source(str(address), limits, connections=8)


def screened(address: object) -> tuple[ImageDataset, Screening]:
    """Ingest a delivery of the supplier ``shop``."""
    with opened(address) as source:
        read = read_delivery(source, "shop", IngestSettings())
    return read.dataset, read.screening


def dataset_of(labels: Sequence[str], groups: Sequence[str | None] | None = None) -> ImageDataset:
    """Make a dataset of one small picture a label."""
    groups = groups or [None] * len(labels)
    return ImageDataset.from_pictures(
        Picture(photograph(number), label, SIDE, SIDE, 1, f"shop/{number}.png", group)
        for number, (label, group) in enumerate(zip(labels, groups, strict=True))
    )
