"""Save datasets again and again, each time in a process that is killed on its way.

Run as ``python saves_and_dies.py renames FOLDER`` or ``… times FOLDER`` or ``… times s3://… ENDPOINT``.
``renames``: the process that saves ``killed-N`` dies by SIGKILL before its Nth rename, until one finishes.
``times``: ten processes, killed at times spread over what an undisturbed one takes. Either prints a JSON list
of whether each was killed.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from zenml.artifact_stores import BaseArtifactStore

from materializers import shards
from materializers.image_dataset import ImageDataset, ImageDatasetMaterializer, Picture
from tests.materializers.stores import disk_store, s3_store_at

ROUNDS = 10
PICTURE_BYTES = 40_000
SHARD_BYTES = 4 * PICTURE_BYTES
SHARDS = 6


def large_pictures(number: int) -> Iterator[Picture]:
    """The pictures of one version, several shards of them; no other version has them."""
    chance = random.Random(number)  # noqa: S311
    for each in range(SHARDS * SHARD_BYTES // PICTURE_BYTES):
        yield Picture(chance.randbytes(PICTURE_BYTES), "tops", 8, 8, 1, f"shop/{number}/{each}")


def large_dataset(number: int) -> ImageDataset:
    """One version, whose shards are small."""
    whole, shards.SHARD_BYTES = shards.SHARD_BYTES, SHARD_BYTES
    try:
        return ImageDataset.from_pictures(large_pictures(number))
    finally:
        shards.SHARD_BYTES = whole


def store_at(address: str, endpoint: str | None = None) -> BaseArtifactStore:
    """A store in a folder or in the tests' bucket."""
    return s3_store_at(address, endpoint) if endpoint else disk_store(Path(address))


def save(store: BaseArtifactStore, name: str, dataset: ImageDataset) -> None:
    """Store one version."""
    ImageDatasetMaterializer(f"{store.path}/{name}", store).save(dataset)


def die_before_rename(number: int) -> None:
    """Have this process killed when it is about to rename its ``number``th file."""
    renames = 0

    def hook(event: str, _: object) -> None:
        nonlocal renames
        if event == "os.rename":
            renames += 1
            if renames == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def at_renames(address: str) -> Iterator[bool]:
    """Fork a child for each file until one finishes."""
    for number in range(1, 30):
        dataset = large_dataset(number)
        child = os.fork()
        if not child:
            die_before_rename(number)
            save(store_at(address), f"killed-{number}", dataset)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            return
        yield True


def at_times(address: str, endpoint: str | None) -> Iterator[bool]:
    """Fork a child for each time, after one that is left alone."""
    chance, whole_s = random.Random(7), 0.0  # noqa: S311
    for number in range(ROUNDS + 1):
        dataset = large_dataset(number)
        began = time.monotonic()
        child = os.fork()
        if not child:
            save(store_at(address, endpoint), f"killed-{number}", dataset)
            os._exit(0)
        if number:
            time.sleep(whole_s * (number - chance.random()) / ROUNDS)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if number:
            yield os.WIFSIGNALED(status)
        else:
            whole_s = time.monotonic() - began


if __name__ == "__main__":
    how, where, server = (*sys.argv[1:], None)[:3]
    assert how and where
    found = at_renames(where) if how == "renames" else at_times(where, server)
    print(json.dumps(list(found)))  # noqa: T201
