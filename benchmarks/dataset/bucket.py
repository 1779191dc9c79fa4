"""Save and load on a real S3 server on loopback, beside one put and one get of the same bytes.

The peer is the client that ZenML's artifact store has, s3fs: another client is faster or slower for both.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.claim import Claim, at_least, at_most
from benchmarks.dataset.generated import jpeg, pictures
from benchmarks.dataset.local import PICTURES, Emptied
from benchmarks.dataset.timing import ROUNDS, cpu_seconds, medians, wall_seconds
from materializers.image_dataset import ImageDataset, ImageDatasetMaterializer
from tests.bucket import BUCKET, KEY, SECRET
from tests.materializers.stores import s3_store
from tests.remote.bucket_server import s3_client, s3_server

OF_FILES = 400
"""Pictures that are put and got as an object each; their time is scaled, which favours nobody."""
REQUESTS_A_SHARD = 5


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """SeaweedFS with one bucket; gives its endpoint."""
    running = s3_server(folder, key=KEY, secret=SECRET)
    running.start()
    try:
        running.wait()
        s3_client(running.url, key=KEY, secret=SECRET).create_bucket(Bucket=BUCKET)
        yield running.url
    finally:
        running.kill()


@contextmanager
def counted_requests() -> Iterator[list[str]]:
    """The operations that s3fs asks of the server meanwhile."""
    import s3fs  # type: ignore[import-untyped]

    whole, operations = s3fs.S3FileSystem._call_s3, []

    async def counted(self: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        operations.append(method)
        return await whole(self, method, *args, **kwargs)

    s3fs.S3FileSystem._call_s3 = counted
    try:
        yield operations
    finally:
        s3fs.S3FileSystem._call_s3 = whole


def measure(folder: Path) -> list[Claim]:
    """The claims about 4,000 JPEGs in a bucket, with an empty cache of shards at each load.

    Args:
        folder: the server's data, and the caches.
    """
    caches = Emptied(folder / "caches")

    def cache() -> None:
        os.environ["SHUTTERLINE_CACHE_DIR"] = str(caches.next())

    with server(folder / "server") as endpoint:
        return _measure(endpoint, cache)


def _measure(endpoint: str, cache: Callable[[], None]) -> list[Claim]:
    raw_store = s3_store(endpoint)
    files: Any = raw_store.filesystem  # type: ignore[attr-defined]
    raw = f"{raw_store.path}/raw"
    encoded = [jpeg(number) for number in range(PICTURES)]
    everything = b"".join(encoded)
    dataset = ImageDataset.from_pictures(pictures(PICTURES))

    def save() -> ImageDatasetMaterializer:
        # An empty store by the client that the raw put has: a process makes one for all that it saves.
        store = s3_store(endpoint)
        store._filesystem = files  # type: ignore[attr-defined]
        materializer = ImageDatasetMaterializer(f"{store.path}/dataset/1", store)
        materializer.save(dataset)
        return materializer

    def put() -> None:
        files.pipe_file(raw, everything)

    saved = save()

    def load() -> None:
        cache()
        loaded = saved.load(ImageDataset)
        read = sum(len(data) for _, data in loaded.scan())
        if read != len(everything):
            raise RuntimeError(f"{read:,} bytes came back of {len(everything):,}")

    def get() -> None:
        files.cat_file(raw)

    claims = []
    for name, measured in (("CPU", cpu_seconds), ("time", wall_seconds)):
        times = medians({"save": save, "put": put, "load": load, "get": get}, rounds=ROUNDS, measure=measured)
        claims += [
            at_most(
                f"save {PICTURES:,} JPEGs in a bucket, {name}, beside one put by s3fs",
                times["save"],
                2 * times["put"],
                "s",
                peer=times["put"],
            ),
            at_most(
                f"load them from the bucket, {name}, beside one get by s3fs",
                times["load"],
                1.5 * times["get"],
                "s",
                peer=times["get"],
            ),
        ]
    with counted_requests() as saving:
        again = save()
    with counted_requests() as loading:
        cache()
        sum(len(data) for _, data in again.load(ImageDataset).scan())
    shards = len(dataset.shards)
    for name, operations in (("save", saving), ("load", loading)):
        claims.append(
            at_most(
                f"requests a shard to {name} them", len(operations) / shards, REQUESTS_A_SHARD, "requests"
            )
        )
    return claims + _beside_files(endpoint, encoded, {"save": save, "load": load, "put": put, "get": get})


def _beside_files(
    endpoint: str, encoded: list[bytes], whole: Mapping[str, Callable[[], object]]
) -> list[Claim]:
    """The claims beside an object a picture; the peer is what one put or get of all bytes reaches.

    Args:
        endpoint: of the server.
        encoded: the pictures.
        whole: our ``save`` and ``load``, and ``put`` and ``get`` of the same bytes at once.
    """
    store = s3_store(endpoint)
    files: Any = store.filesystem  # type: ignore[attr-defined]
    paths = [f"{store.path}/files/{number:05d}.jpg" for number in range(OF_FILES)]

    def put_files() -> None:
        for path, data in zip(paths, encoded, strict=False):
            with files.open(path, "wb") as file:
                file.write(data)

    def get_files() -> None:
        for path in paths:
            with files.open(path, "rb") as file:
                file.read()

    ways = {**whole, "put files": put_files, "get files": get_files}
    scale, claims = PICTURES / OF_FILES, []
    for name, measured in (("less CPU", cpu_seconds), ("faster", wall_seconds)):
        times = medians(ways, rounds=ROUNDS, measure=measured)
        for ours, raw, bar in (("save", "put", 30), ("load", "get", 150)):
            by_file = scale * times[f"{raw} files"]
            title = f"{ours} them in a bucket: how many times {name} than an object a picture with s3fs"
            claims.append(
                at_least(
                    f"{title} ({OF_FILES}, scaled); the peer is one {raw} of all bytes",
                    by_file / times[ours],
                    bar,
                    "×",
                    peer=by_file / times[raw],
                )
            )
    return claims
