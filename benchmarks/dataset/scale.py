"""A hundred thousand hashes, and an index of a million pictures."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.claim import Claim, at_most
from benchmarks.dataset.generated import pictures
from benchmarks.dataset.timing import peak_memory_mb
from benchmarks.warm import PROJECT
from materializers.image_dataset import ImageDataset, ImageDatasetMaterializer
from tests.materializers.stores import disk_store

HASHES, CHECKED = 100_000, 5_000
COPIES = 0.05
"""Share of the hashes that are another's with up to six bits changed."""


def hashes(count: int, seed: int = 0) -> NDArray[np.uint64]:
    """Random hashes, among them near ones."""
    random = np.random.default_rng(seed)
    drawn = random.integers(0, 2**63, count, dtype=np.uint64)
    copied = random.choice(count, int(COPIES * count), replace=False)
    for position in copied:
        value = drawn[random.integers(count)]
        for bit in random.choice(64, random.integers(0, 7), replace=False):
            value ^= np.uint64(1) << np.uint64(bit)
        drawn[position] = value
    return drawn


def brute_force(drawn: NDArray[np.uint64], distance: int) -> set[tuple[int, int]]:
    """All pairs within the distance, by comparing each with each."""
    pairs: set[tuple[int, int]] = set()
    for first in range(len(drawn)):
        near = np.flatnonzero(np.bitwise_count(drawn[first + 1 :] ^ drawn[first]) <= distance)
        pairs.update((first, int(first + 1 + second)) for second in near)
    return pairs


def own_process(part: str, folder: Path) -> tuple[float, float]:
    """Seconds and peak memory in MB of a part of this file, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.dataset.scale", part, str(folder)]
    said = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True).stdout
    seconds, megabytes = said.split()
    return float(seconds), float(megabytes)


def measure(folder: Path) -> list[Claim]:
    """Near-duplicates, and the index."""
    from steps.data.checks.duplicates import FARTHEST
    from steps.data.near_duplicates import MAX_DISTANCE, propose_pairs

    folder.mkdir(parents=True)
    checked = hashes(CHECKED, seed=1)
    ours = {(int(min(pair)), int(max(pair))) for pair in propose_pairs(checked, max_distance=MAX_DISTANCE)}
    near = {
        f"within {MAX_DISTANCE} bits, as configured": own_process("pairs", folder),
        f"within {FARTHEST} bits, the most that may be": own_process("far-pairs", folder),
    }
    own_process("write", folder)
    opened, _ = own_process("open", folder)
    split, _ = own_process("split", folder)
    claims = []
    for how, (seconds, megabytes) in near.items():
        name = f"near-duplicates among {HASHES:,} hashes, {how}"
        claims += [at_most(name, seconds, 60, "s"), at_most(f"{name}: memory", megabytes, 1024, "MB")]
    return [
        *claims,
        at_most(
            f"pairs that differ from brute force on {CHECKED:,}",
            len(ours ^ brute_force(checked, MAX_DISTANCE)),
            0,
            "pairs",
        ),
        at_most("an index of 1,000,000 pictures opens in", opened, 2, "s"),
        at_most("and is split in", split, 30, "s"),
    ]


ROWS = 1_000_000
GROUP = 4
"""Pictures of one product."""


def write_index(folder: Path) -> None:
    """Store the index of a million pictures; the pictures themselves were never there."""
    random = np.random.default_rng(0)
    digits = random.bytes(32 * ROWS).hex()
    image_ids = [digits[start : start + 64] for start in range(0, 64 * ROWS, 64)]
    index = pd.DataFrame(
        {
            "image_id": image_ids,
            "label": random.choice(["electronics", "clothing", "home", "books", "toys"], ROWS),
            "group": [f"product-{number // GROUP}" for number in range(ROWS)],
            "captured_at": "2026-11-21T14:00:00Z",
            "width": 256,
            "height": 256,
            "orientation": 1,
            "source": [f"shop/images/{number:07d}.jpg" for number in range(ROWS)],
            "phash": [digits[start : start + 16] for start in range(0, 16 * ROWS, 16)],
        }
    )
    one = ImageDataset.from_pictures(pictures(1))
    (shard,) = one.shards
    ImageDatasetMaterializer(f"{folder}/dataset/1", disk_store(folder)).save(
        ImageDataset(index.assign(shard=shard), one.shards)
    )


def pairs_of_many(_: Path) -> None:
    """Propose the pairs among a hundred thousand hashes."""
    from steps.data.near_duplicates import propose_pairs

    propose_pairs(hashes(HASHES))


def far_pairs_of_many(_: Path) -> None:
    """The same for the farthest distance that the configuration takes."""
    from steps.data.checks.duplicates import FARTHEST
    from steps.data.near_duplicates import propose_pairs

    propose_pairs(hashes(HASHES), FARTHEST)


def open_index(folder: Path) -> None:
    """Load the version; its rows are verified."""
    ImageDatasetMaterializer(f"{folder}/dataset/1", disk_store(folder)).load(ImageDataset)


def split_index(folder: Path) -> None:
    """Split the million."""
    from steps.data.split import SplitSettings, split_dataset

    dataset = ImageDatasetMaterializer(f"{folder}/dataset/1", disk_store(folder)).load(ImageDataset)
    global begun  # noqa: PLW0603 - opening is measured by itself
    begun = time.perf_counter()
    split_dataset(dataset.index, dataset.version, None, SplitSettings())


PARTS = {
    "pairs": pairs_of_many,
    "far-pairs": far_pairs_of_many,
    "write": write_index,
    "open": open_index,
    "split": split_index,
}


if __name__ == "__main__":
    work, place = PARTS[sys.argv[1]], Path(sys.argv[2])
    begun = time.perf_counter()
    work(place)
    seconds = time.perf_counter() - begun
    sys.stdout.write(f"{seconds} {peak_memory_mb()}")
