"""Copies of a bucket's shards are bounded, shared by processes, and never believed unseen."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from zenml.artifact_stores import BaseArtifactStore

from materializers import shards
from materializers.errors import DamagedArtifact, ServiceUnreachable
from materializers.image_dataset import ImageDataset, ImageDatasetMaterializer, picture_digest
from materializers.shard_cache import ShardCache
from tests.materializers.examples import dataset, png
from tests.materializers.stores import s3_store

DATA = bytes(range(256)) * 4


class Origin:
    """Where shards come from; it counts."""

    def __init__(self, wait_s: float = 0) -> None:
        self.downloads, self.wait_s = 0, wait_s

    def download(self, path: Path) -> None:
        self.downloads += 1
        time.sleep(self.wait_s)
        path.write_bytes(DATA)

    def fetch(self) -> bytes:
        return DATA

    def read(self, cache: ShardCache, digest: str, offset: int = 0, size: int = 10) -> bytes:
        with cache.opened(digest, self.download, self.fetch) as file:
            return file.read(offset, size)


@pytest.fixture
def origin() -> Origin:
    """Where shards come from."""
    return Origin()


def digest(number: int) -> str:
    """The name of a shard."""
    return f"{number:064x}"


def copies(cache: ShardCache) -> set[str]:
    """The shards of which there are copies."""
    return {path.stem for path in cache.folder.glob("*.arrow")}


# --- The folder -------------------------------------------------------------------------------------------


def test_a_shard_is_fetched_once(tmp_path: Path, origin: Origin) -> None:
    """The first read makes a copy, the next ones use it, and a removed one is fetched again."""
    cache = ShardCache(tmp_path / "cache", 10**6)
    assert not cache.has(digest(1))
    assert {origin.read(cache, digest(1), 3, 5) for _ in range(3)} == {DATA[3:8]}
    assert (origin.downloads, cache.has(digest(1))) == (1, True)
    assert cache.remove([digest(1), digest(2)]) == [cache.folder / f"{digest(1)}.arrow"]
    origin.read(cache, digest(1))
    assert origin.downloads == 2


def test_what_was_used_least_recently_makes_room(tmp_path: Path, origin: Origin) -> None:
    """The bound holds after every fetch; reading a copy counts as use."""
    cache = ShardCache(tmp_path, 3 * len(DATA))
    for number in range(3):
        origin.read(cache, digest(number))
        os.utime(tmp_path / f"{digest(number)}.arrow", (number, number))
    origin.read(cache, digest(0))
    origin.read(cache, digest(3))
    assert copies(cache) == {digest(0), digest(2), digest(3)}
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= cache.max_bytes


@pytest.mark.parametrize("max_bytes", [0, len(DATA) - 1])
def test_a_shard_that_has_no_room_is_read_all_the_same(
    tmp_path: Path, origin: Origin, max_bytes: int
) -> None:
    """A cache that is too small keeps nothing and fails nothing."""
    cache = ShardCache(tmp_path, max_bytes)
    assert origin.read(cache, digest(1), 1000) == DATA[1000:1010]
    assert copies(cache) == set()
    assert list(tmp_path.glob(".*.part")) == []


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path: Path, origin: Origin) -> None:
    """Where no copy can be made, pictures are read without one."""
    (tmp_path / "file").write_text("not a folder")
    cache = ShardCache(tmp_path / "file" / "cache", 10**6)
    assert origin.read(cache, digest(1)) == DATA[:10]


def test_a_copy_that_makes_room_is_read_to_its_end(tmp_path: Path, origin: Origin) -> None:
    """Another process may remove a copy while this one reads it."""
    cache = ShardCache(tmp_path, 10**6)
    origin.read(cache, digest(1))
    with cache.opened(digest(1), origin.download, origin.fetch) as file:
        cache.remove([digest(1)])
        assert file.read(0, 10) == DATA[:10]


def test_what_killed_processes_left_is_removed(tmp_path: Path, origin: Origin) -> None:
    """An old part of a copy goes, one that may still be written stays."""
    cache = ShardCache(tmp_path, 10**6)
    old, new = tmp_path / ".a.part", tmp_path / ".b.part"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    origin.read(cache, digest(1))
    assert (old.exists(), new.exists()) == (False, True)


def test_processes_and_threads_wait_for_one_download(tmp_path: Path) -> None:
    """Of many that need a shard at once, one fetches it."""
    cache, origin = ShardCache(tmp_path, 10**6), Origin(wait_s=0.3)
    readers: list[Any] = [threading.Thread(target=origin.read, args=(cache, digest(1))) for _ in range(4)]
    context = multiprocessing.get_context("fork")
    counts: Any = context.Queue()

    def read_and_count() -> None:
        own = Origin(wait_s=0.3)
        assert own.read(cache, digest(2)) == DATA[:10]
        counts.put(own.downloads)

    readers += [context.Process(target=read_and_count) for _ in range(4)]
    for reader in reversed(readers):  # processes are forked before there are threads
        reader.start()
    for reader in readers:
        reader.join(30)
    assert origin.downloads == 1
    assert sum(counts.get(timeout=10) for _ in range(4)) == 1


def test_the_environment_says_where_and_how_large(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two variables; without them the user's cache folder and 20 GB."""
    monkeypatch.setenv("SHUTTERLINE_CACHE_DIR", str(tmp_path / "own"))
    monkeypatch.setenv("SHUTTERLINE_CACHE_BYTES", "123")
    cache = ShardCache.of_this_machine()
    assert (cache.folder, cache.max_bytes) == (tmp_path / "own", 123)
    monkeypatch.delenv("SHUTTERLINE_CACHE_DIR")
    monkeypatch.delenv("SHUTTERLINE_CACHE_BYTES")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache = ShardCache.of_this_machine()
    assert (cache.folder, cache.max_bytes) == (tmp_path / "shutterline" / "shards", 20 * 10**9)


# --- A bucket behind it -----------------------------------------------------------------------------------


@pytest.fixture
def cached(bucket_store: BaseArtifactStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ImageDataset:
    """Twenty pictures in a bucket, in one shard, with an empty cache."""
    monkeypatch.setenv("SHUTTERLINE_CACHE_DIR", str(tmp_path / "cache"))
    materializer = ImageDatasetMaterializer(f"{bucket_store.path}/dataset/1", bucket_store)
    materializer.save(dataset(*range(20)))
    return materializer.load(ImageDataset)


@pytest.fixture
def requests(bucket_store: BaseArtifactStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every request to the bucket, by the name of its method."""
    made: list[str] = []
    kind = type(bucket_store.filesystem)  # type: ignore[attr-defined]
    call = kind._call_s3

    async def counted(self: Any, method: str, *args: Any, **known: Any) -> Any:
        made.append(method)
        return await call(self, method, *args, **known)

    monkeypatch.setattr(kind, "_call_s3", counted)
    return made


def test_few_pictures_cost_a_request_each_and_many_one(cached: ImageDataset, requests: list[str]) -> None:
    """A handful is read by ranges; from then on the shard is fetched whole, once."""
    ids = cached.index["image_id"].tolist()
    expected = dict(dataset(*range(20)).scan())
    assert cached.pictures(ids[:3]) == [expected[image_id] for image_id in ids[:3]]
    assert requests == ["get_object"] * 3
    assert cached.pictures(ids) == [expected[image_id] for image_id in ids]
    assert dict(cached.scan()) == expected
    assert requests == ["get_object"] * 4


def test_saving_costs_few_requests(bucket_store: BaseArtifactStore, requests: list[str]) -> None:
    """One a new shard, or to see how old one is that lies there; besides a list, index and manifest."""
    ImageDatasetMaterializer(f"{bucket_store.path}/dataset/0", bucket_store).save(dataset(1))
    requests.clear()
    materializer = ImageDatasetMaterializer(f"{bucket_store.path}/dataset/1", bucket_store)
    materializer.save(dataset(1).join(dataset(2)).join(dataset(3)))
    assert Counter(requests) == {"list_objects_v2": 1, "head_object": 1, "put_object": 4}
    requests.clear()
    dict(materializer.load(ImageDataset).scan())
    assert requests == ["get_object"] * 5


def flip(path: Path) -> None:
    """Change every byte of a file."""
    path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))


@pytest.mark.parametrize("damage", [flip, lambda path: os.truncate(path, 100)])
@pytest.mark.parametrize("read", [ImageDataset.scan, lambda found: zip(*few(found), strict=True)])
def test_a_damaged_copy_is_fetched_again(
    cached: ImageDataset,
    requests: list[str],
    damage: Callable[[Path], None],
    read: Callable[[ImageDataset], Any],
) -> None:
    """A copy that someone changed or cut is never handed out: the bucket is asked again."""
    expected = dict(cached.scan())
    (copy,) = ShardCache.of_this_machine().folder.glob("*.arrow")
    damage(copy)
    requests.clear()
    found = dict(read(cached))
    assert found == {image_id: expected[image_id] for image_id in found}
    assert requests == ["get_object"]
    assert picture_digest(copy.read_bytes()) == copy.stem


def few(found: ImageDataset) -> tuple[list[str], list[bytes]]:
    """Two pictures of a dataset."""
    ids = found.index["image_id"].tolist()[:2]
    return ids, found.pictures(ids)


@pytest.mark.parametrize("wanted", [2, 20], ids=["by ranges", "whole"])
def test_a_damaged_shard_in_the_bucket_is_named(
    cached: ImageDataset, bucket_store: BaseArtifactStore, wanted: int
) -> None:
    """What the bucket changed is no picture, and no copy of it is kept."""
    (shard,) = cached.shards.values()
    data = shard.whole()
    with bucket_store.open(shard.uri, "wb") as file:
        file.write(bytes(byte ^ 1 for byte in data))
    with pytest.raises(DamagedArtifact, match=f"Shard {shard.uri} is damaged"):
        cached.pictures(cached.index["image_id"].tolist()[:wanted])
    assert list(ShardCache.of_this_machine().folder.glob("*.arrow")) == []


@pytest.mark.parametrize("wanted", [2, 20], ids=["by ranges", "whole"])
def test_a_missing_shard_in_the_bucket_is_named(
    cached: ImageDataset, bucket_store: BaseArtifactStore, wanted: int
) -> None:
    """A shard that was removed is an error that names it."""
    (shard,) = cached.shards.values()
    bucket_store.remove(shard.uri)
    with pytest.raises(DamagedArtifact, match=f"Shard {shard.uri} cannot be read"):
        cached.pictures(cached.index["image_id"].tolist()[:wanted])


def test_refused_credentials_are_no_damage(cached: ImageDataset, bucket_server: Any) -> None:
    """A bucket that refuses to answer is a service to mend, not a dataset to deliver again."""
    (shard,) = cached.shards.values()
    store = s3_store(bucket_server.endpoint, secret="wrong")
    foreign = shards.RemoteShard(shard.digest, store, ShardCache(Path("unused"), 0))
    foreign.uri = shard.uri
    with pytest.raises(ServiceUnreachable, match=f"Shard {shard.uri} cannot be read"):
        foreign.whole()


def test_a_store_without_ranges_is_read_through_its_own_methods(
    bucket_store: BaseArtifactStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A flavor of which only ZenML's interface is known stores and reads a dataset."""
    monkeypatch.setenv("SHUTTERLINE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("materializers.blobs._file_system", lambda store: None)
    materializer = ImageDatasetMaterializer(f"{bucket_store.path}/dataset/1", bucket_store)
    materializer.save(dataset(*range(20)))
    materializer.save(dataset(*range(20)))
    loaded = materializer.load(ImageDataset)
    assert loaded.pictures([picture_digest(png(3))]) == [png(3)]
    assert dict(loaded.scan()) == dict(dataset(*range(20)).scan())
