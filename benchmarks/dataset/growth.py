"""Time and memory as the data grows, and what a small delivery to a large dataset costs.

``python -m benchmarks.dataset.growth COUNT FOLDER`` packs, saves, loads and reads COUNT pictures in a process
of its own, and then a delivery of a hundredth as many; it prints its figures as JSON.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from itertools import chain, pairwise
from pathlib import Path
from statistics import median

from benchmarks.claim import Claim, at_most
from benchmarks.dataset.generated import pictures, textures
from benchmarks.dataset.local import Emptied, load_all, stored, write_raw
from benchmarks.dataset.timing import cpu_seconds, peak_memory_mb
from benchmarks.warm import PROJECT
from materializers.image_dataset import ImageDataset, ImageDatasetMaterializer
from materializers.report import Record
from tests.materializers.stores import disk_store

COUNTS = (1_000, 10_000, 100_000)
MEMORY_MB = 1_536
SLACK = 1.25
"""Times of a second or less differ so much from run to run."""
FILE_BYTES, TIMES = 64 * 2**20, 3


class Figures(Record):
    """What one count cost: CPU seconds, bytes, and the most memory."""

    count: int
    pack_s: float
    save_s: float
    write_s: float
    """Writing as many bytes raw: the system's own cost grows faster than the data once its cache is full."""
    load_s: float
    memory_mb: float
    bytes_written: int
    delivery_s: float
    delivery_bytes: int
    repeated_bytes: int
    """What a delivery writes that repeats all and adds a hundredth."""


def measure(folder: Path) -> list[Claim]:
    """The claims, from a process for each count."""
    found = [_own_process(count, folder / str(count)) for count in COUNTS]
    for figures in found:
        sys.stderr.write(
            f"{figures.count:>9,} pictures: pack {figures.pack_s:.2f} s, save {figures.save_s:.2f} s "
            f"(raw write {figures.write_s:.2f} s), load {figures.load_s:.2f} s, "
            f"memory {figures.memory_mb:,.0f} MB\n"
        )
    largest = found[-1]
    return [
        at_most(f"memory with {largest.count:,} pictures", largest.memory_mb, MEMORY_MB, "MB"),
        *_growth(found),
        at_most(
            f"a delivery of 1 % to {largest.count:,} pictures: bytes, beside rewriting all",
            100 * largest.delivery_bytes / largest.bytes_written,
            2,
            "%",
        ),
        at_most(
            "the same: CPU, each from the stored dataset on, beside loading, packing and saving all",
            100 * largest.delivery_s / (largest.load_s + largest.pack_s + largest.save_s),
            5,
            "%",
        ),
        at_most(
            "one that repeats all of them and adds 1 %: bytes, beside rewriting all",
            100 * largest.repeated_bytes / largest.bytes_written,
            2,
            "%",
        ),
    ]


def _growth(found: list[Figures]) -> list[Claim]:
    """Each column's growth from one count to the next, beside the data's."""
    columns = {
        "packing time": [each.pack_s for each in found],
        "saving time, in raw writes of the same bytes": [
            each.count * each.save_s / each.write_s for each in found
        ],
        "loading time": [each.load_s for each in found],
        "memory": [each.memory_mb for each in found],
    }
    claims = []
    for name, values in columns.items():
        growth = [
            (later / earlier) / (after.count / before.count)
            for (earlier, later), (before, after) in zip(pairwise(values), pairwise(found), strict=True)
        ]
        claims.append(at_most(f"growth of {name} for each growth of the data", max(growth), SLACK, "×"))
    return claims


def _own_process(count: int, folder: Path) -> Figures:
    command = [sys.executable, "-m", "benchmarks.dataset.growth", str(count), str(folder)]
    said = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, check=True).stdout
    return Figures.model_validate_json(said)


def figures_of(count: int, folder: Path) -> Figures:
    """Pack, save, load, read; then join and save a hundredth more, alone and after all that is there."""
    hundredth = max(1, count // 100)
    textures()  # encoded once, and of no dataset's cost
    generate_s = _usual_seconds(lambda: deque(pictures(count), maxlen=0))
    pack_s = _usual_seconds(lambda: ImageDataset.from_pictures(pictures(count))) - generate_s
    made = ImageDataset.from_pictures(pictures(count))
    places = Emptied(folder)
    save_s = _usual_seconds(lambda: stored(places.next(), made))
    saved = stored(places.next(), made)
    folder = places.folder / str(places.number)
    written = size_of(folder)
    data = random.randbytes(FILE_BYTES)  # noqa: S311 - bytes that nothing compresses
    write_s = _usual_seconds(lambda: write_as_many(folder / "raw", written, data))
    load_s = _usual_seconds(lambda: load_all(saved))
    parents: list[ImageDataset] = []

    def deliver() -> None:
        parents.append(saved.load(ImageDataset))
        delivery = ImageDataset.from_pictures(pictures(hundredth, first=count))
        later = ImageDatasetMaterializer(f"{folder}/dataset/2", disk_store(folder))
        later.save(parents[0].join(delivery))

    delivery_s = cpu_seconds(deliver) - generate_s / (count / hundredth)
    (parent,) = parents
    delivered = size_of(folder)
    all_again = chain(pictures(count), pictures(hundredth, first=count + hundredth))
    repeated = ImageDataset.from_pictures(all_again, stored=parent)
    ImageDatasetMaterializer(f"{folder}/dataset/3", disk_store(folder)).save(parent.join(repeated))
    return Figures(
        count=count,
        pack_s=pack_s,
        save_s=save_s,
        write_s=write_s,
        load_s=load_s,
        memory_mb=peak_memory_mb(),
        bytes_written=written,
        delivery_s=delivery_s,
        delivery_bytes=delivered - written,
        repeated_bytes=size_of(folder) - delivered,
    )


def _usual_seconds(work: Callable[[], object]) -> float:
    """The median CPU time of a few rounds: one alone meets a busy disk or none."""
    return median(cpu_seconds(work) for _ in range(TIMES))


def write_as_many(folder: Path, count: int, data: bytes) -> None:
    """Write ``count`` bytes in files of ``data``, flushed to the disk, and remove them."""
    folder.mkdir()
    for number, start in enumerate(range(0, count, FILE_BYTES)):
        write_raw(folder / str(number), memoryview(data)[: count - start])
    shutil.rmtree(folder)


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    sys.stdout.write(figures_of(int(sys.argv[1]), Path(sys.argv[2])).model_dump_json())
