"""Ingest, save and load on this machine's disk, beside raw reads and writes of the same bytes."""

from __future__ import annotations

import io
import os
import random
import shutil
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from blake3 import blake3
from PIL import Image

from benchmarks.claim import Claim, at_least, at_most
from benchmarks.dataset.generated import jpeg
from benchmarks.dataset.photographs import photographs
from benchmarks.dataset.timing import ROUNDS, cpu_seconds, medians
from materializers.image_dataset import ImageDataset, ImageDatasetMaterializer, Picture
from serving.strip_metadata import strip_metadata
from tests.materializers.stores import disk_store

PICTURES, DRAWN, OF_ZENML = 4000, 256, 100


def write_raw(path: Path, data: bytes | memoryview) -> None:
    """One write, flushed to the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


class Emptied:
    """A folder below which each call gets an empty one; what was there before is gone."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.number = folder, 0

    def next(self) -> Path:
        """An empty folder."""
        shutil.rmtree(self.folder / str(self.number), ignore_errors=True)
        self.number += 1
        folder = self.folder / str(self.number)
        folder.mkdir(parents=True)
        return folder


def stored(folder: Path, dataset: ImageDataset) -> ImageDatasetMaterializer:
    """A dataset saved in an artifact store of its own, and the materializer that loads it."""
    folder.mkdir(parents=True, exist_ok=True)
    materializer = ImageDatasetMaterializer(f"{folder}/dataset/1", disk_store(folder))
    materializer.save(dataset)
    return materializer


def load_all(materializer: ImageDatasetMaterializer) -> int:
    """Load a version and touch the bytes of all its pictures; how many bytes."""
    dataset = materializer.load(ImageDataset)
    return sum(len(data) for _, data in dataset.scan())


def measure(folder: Path) -> list[Claim]:
    """The claims about 4,000 JPEGs on disk, and about real photographs where they are there."""
    claims = _measure(
        folder / "generated", f"{PICTURES:,} JPEGs", [jpeg(number) for number in range(PICTURES)]
    )
    if photographs():
        claims += _measure(folder / "real", f"{len(photographs()):,} photographs", photographs())
    return claims


def _measure(folder: Path, name: str, encoded: list[bytes]) -> list[Claim]:
    files = folder / "files"
    files.mkdir(parents=True)
    for number, data in enumerate(encoded):
        (files / f"{number:05d}.jpg").write_bytes(data)
    dataset = ImageDataset.from_pictures(_as_stored(encoded))
    everything = b"".join(data for _, data in dataset.scan())
    return [
        *_saved(folder, name, dataset, everything),
        *_loaded(folder, name, dataset, everything),
        _ingested(name, sorted(files.iterdir())),
        _drawn(folder, name, dataset, files),
    ]


def _as_stored(encoded: list[bytes]) -> Iterator[Picture]:
    """The pictures of a delivery, of one class, less their metadata."""
    for number, data in enumerate(encoded):
        each = strip_metadata(data)
        yield Picture(each.data, "clothing", each.width, each.height, each.orientation, f"shop/{number}.jpg")


def _saved(folder: Path, name: str, dataset: ImageDataset, everything: bytes) -> list[Claim]:
    ours, raw = Emptied(folder / "saved"), Emptied(folder / "raw")
    taken = medians(
        {
            "save": lambda: stored(ours.next(), dataset),
            "raw": lambda: write_raw(raw.next() / "all", everything),
        }
    )
    some = [data for _, data in islice(dataset.scan(), OF_ZENML)]
    zenml = _zenml_seconds(folder / "zenml", some) * len(dataset) / OF_ZENML
    return [
        at_most(
            f"{name}: save of an ingested dataset, CPU, beside one raw write",
            taken["save"],
            5 * taken["raw"],
            "s",
            peer=taken["raw"],
        ),
        at_least(
            f"{name}: how many times less CPU than ZenML's list[PIL.Image], measured on {OF_ZENML}, scaled",
            zenml / taken["save"],
            1000,
            "×",
        ),
    ]


def _zenml_seconds(folder: Path, encoded: list[bytes]) -> float:
    """CPU time of ZenML's own way with a list of pictures."""
    import zenml.integrations.pillow.materializers.pillow_image_materializer  # noqa: F401 - registers itself
    from zenml.materializers.built_in_materializer import BuiltInContainerMaterializer

    folder.mkdir(parents=True)
    images = [Image.open(io.BytesIO(data)).convert("RGB") for data in encoded]
    return cpu_seconds(lambda: BuiltInContainerMaterializer(str(folder), disk_store(folder)).save(images))


def _loaded(folder: Path, name: str, dataset: ImageDataset, everything: bytes) -> list[Claim]:
    materializer = stored(folder / "loaded", dataset)
    raw = folder / "raw-load"
    write_raw(raw, everything)
    taken = medians(
        {
            "all": lambda: load_all(materializer),
            "raw": raw.read_bytes,
        },
        rounds=3 * ROUNDS,
    )
    return [
        at_most(
            f"{name}: {what}, CPU, beside one raw read",
            taken["all"],
            times * taken["raw"],
            "s",
            peer=taken["raw"],
        )
        for what, times in (
            ("load all bytes, which always verifies them", 1.3),
            ("load all bytes, every shard verified", 2),
        )
    ]


def _ingested(name: str, files: list[Path]) -> Claim:
    def ingest() -> None:
        for path in files:
            data = path.read_bytes()
            cut = strip_metadata(data)
            source = blake3(data).hexdigest()
            _ = source if cut.data is data else blake3(cut.data).hexdigest()

    def read() -> None:
        for path in files:
            path.read_bytes()

    taken = medians({"ingest": ingest, "raw": read})
    return at_most(
        f"{name}: ingest (read, metadata cut, both digests, dimensions), CPU, beside reading the same files",
        taken["ingest"],
        4 * taken["raw"],
        "s",
        peer=taken["raw"],
    )


def _drawn(folder: Path, name: str, dataset: ImageDataset, files: Path) -> Claim:
    materializer = stored(folder / "drawn", dataset)
    # Stored as the peer would be: a file a picture, named by its digest.
    names = {image_id: files / f"{image_id}.jpg" for image_id in dataset.index["image_id"]}
    for image_id, data in dataset.scan():
        names[image_id].write_bytes(data)
    loaded = materializer.load(ImageDataset)
    random_ids: Callable[[], list[str]] = lambda: random.sample(list(names), DRAWN)  # noqa: E731

    def from_files() -> list[Any]:
        return [names[image_id].read_bytes() for image_id in random_ids()]

    taken = medians(
        {"ours": lambda: loaded.pictures(random_ids()), "files": from_files},
        rounds=4 * ROUNDS,
    )
    return at_least(
        f"{name}: random {DRAWN} of them, verified: how many times less CPU than a file a picture",
        taken["files"] / taken["ours"],
        5,
        "×",
    )
