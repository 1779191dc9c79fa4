"""Features are found again to the bit, and whatever is damaged or gone is missing, never wrong."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from blake3 import blake3
from numpy.typing import NDArray
from zenml.artifact_stores import BaseArtifactStore
from zenml.artifact_stores.local_artifact_store import LocalArtifactStore

from materializers import feature_cache
from materializers.blobs import list_folder, read_blob, write_blob
from materializers.errors import DamagedArtifact, NoRoom, ServiceUnreachable
from materializers.feature_cache import (
    FeatureCache,
    FeatureKey,
    FeatureRow,
    features_folder,
    names_one_of,
    part_files,
    pictures_in,
)
from materializers.store_files import remove_file
from tests.bucket import BUCKET, BucketServer
from tests.materializers.refusing_proxy import refusing
from tests.materializers.stores import s3_store_at

LENGTH = 5
KEY = FeatureKey(
    backbone="ab" * 32, preprocessing={"version": 1, "height": 16}, runtime="torch 2.14", length=LENGTH
)


def row(number: int, orientation: int = 1) -> FeatureRow:
    """A picture."""
    return FeatureRow(blake3(str(number).encode()).hexdigest(), orientation)


def features(*numbers: int) -> NDArray[np.float32]:
    """The features of each picture; no two are alike."""
    return np.stack([np.random.default_rng(number).normal(size=LENGTH) for number in numbers]).astype(
        np.float32
    )


def keep(cache: FeatureCache, *numbers: int, key: FeatureKey = KEY) -> None:
    """Write a part of these pictures."""
    cache.write(key, [row(number) for number in numbers], features(*numbers))


def kept(cache: FeatureCache, *numbers: int, key: FeatureKey = KEY) -> dict[int, bytes]:
    """What the cache has of these pictures, as bytes, by their numbers."""
    found = dict[int, bytes]()
    for places, values in cache.read(key, [row(number) for number in numbers]):
        for place, value in zip(places.tolist(), values, strict=True):
            assert numbers[place] not in found
            found[numbers[place]] = value.tobytes()
    return found


def expected(*numbers: int) -> dict[int, bytes]:
    """The bytes that these pictures' features are."""
    return {number: features(number).tobytes() for number in numbers}


def test_what_was_kept_is_found_and_nothing_else(store: BaseArtifactStore) -> None:
    """From several parts, to the bit, in whatever order it is asked for; what is not there is not given."""
    cache = FeatureCache(store)
    assert kept(cache, 1, 2) == {}
    keep(cache, 1, 2, 3)
    keep(cache, 4, 5)
    assert kept(FeatureCache(store), 5, 9, 2) == expected(2, 5)
    assert kept(FeatureCache(store), *range(8)) == expected(1, 2, 3, 4, 5)


def test_another_orientation_or_another_key_is_something_else(disk: LocalArtifactStore) -> None:
    """A picture that is turned, another backbone, another resize, another runtime: nothing is kept yet."""
    cache = FeatureCache(disk)
    keep(cache, 1)
    assert list(cache.read(KEY, [row(1, orientation=6)])) == []
    for change in (
        {"backbone": "cd" * 32},
        {"preprocessing": {"version": 2, "height": 16}},
        {"runtime": "torch 2.15"},
    ):
        assert kept(cache, 1, key=KEY.model_copy(update=change)) == {}
    assert kept(cache, 1) == expected(1)


def test_parts_are_arrow_files_named_by_their_digest_with_a_description_beside(
    store: BaseArtifactStore,
) -> None:
    """Nothing of this project is needed to read them; the description says what they follow from."""
    cache = FeatureCache(store)
    keep(cache, 1, 2)
    (uri,) = part_files(store)
    folder, _, name = uri.rpartition("/")
    data = read_blob(store, uri)
    assert folder == f"{features_folder(store)}/{KEY.digest}"
    assert name == f"{blake3(data).hexdigest()}.arrow"
    table = pa.ipc.open_file(pa.py_buffer(data)).read_all()
    assert table.schema.names == ["image_id", "orientation", "feature"]
    assert table.schema.field("feature").type == pa.list_(pa.float32(), LENGTH)
    assert table["image_id"].to_pylist() == [row(1).image_id, row(2).image_id]
    assert FeatureKey.model_validate_json(read_blob(store, f"{folder}/key.json")) == KEY
    assert pictures_in(store, uri) == [row(1).image_id, row(2).image_id]


@pytest.mark.parametrize("damage", ["altered", "cut", "empty", "other"])
def test_a_damaged_part_is_named_and_never_given(
    store: BaseArtifactStore, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is removed, so that what is computed again takes its place; other parts are as they were."""
    cache = FeatureCache(store)
    keep(cache, 1, 2)
    (uri,) = part_files(store)
    keep(cache, 3)
    data = bytearray(read_blob(store, uri))
    damaged = {"altered": bytes(data[:-200]) + b"\x01" + bytes(data[-199:]), "cut": bytes(data[:-9])}
    damaged |= {"empty": b"", "other": b"not an Arrow file"}
    write_blob(store, uri, damaged[damage])
    assert kept(cache, 1, 2, 3) == expected(3)
    assert [record.getMessage() for record in caplog.records if uri in record.getMessage()]
    caplog.clear()
    keep(cache, 1, 2)
    assert kept(cache, 1, 2, 3) == expected(1, 2, 3)
    assert caplog.records == []


def test_a_part_of_another_length_is_not_given(disk: LocalArtifactStore) -> None:
    """Whatever was put there under its right digest."""
    cache = FeatureCache(disk)
    cache.write(KEY, [row(1)], np.zeros((1, LENGTH + 1), np.float32))
    assert kept(cache, 1) == {}


def _write_many(path: str, first: int) -> None:
    from tests.materializers.stores import disk_store

    cache = FeatureCache(disk_store(Path(path)))
    for number in range(first, first + 30, 3):
        keep(cache, number, number + 1, number + 2)
        cache.merge(KEY)


def test_processes_that_write_and_pack_at_once_lose_nothing(
    disk: LocalArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three of them, two with the same pictures, while another one reads: what was there stays there."""
    monkeypatch.setattr(feature_cache, "MANY", 2)
    keep(FeatureCache(disk), 500, 501)
    children = [
        multiprocessing.get_context("fork").Process(target=_write_many, args=(disk.path, first))
        for first in (0, 0, 30)
    ]
    for child in children:
        child.start()
    while any(child.is_alive() for child in children):
        assert kept(FeatureCache(disk), 500, 501) == expected(500, 501)
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert kept(FeatureCache(disk), *range(60)) == expected(*range(60))


def test_a_listing_that_packing_ran_across_is_not_the_last(
    disk: LocalArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that changes while it is read may show neither what went nor what took its place."""
    keep(FeatureCache(disk), 1, 2)
    torn = [dict[str, int | None]()]
    monkeypatch.setattr(feature_cache, "list_folder", lambda *on: torn.pop() if torn else list_folder(*on))
    assert kept(FeatureCache(disk), 1, 2) == expected(1, 2)


def test_many_small_parts_become_one(store: BaseArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a number on; each picture is in it once, and few parts stay as they are."""
    monkeypatch.setattr(feature_cache, "MANY", 3)
    cache = FeatureCache(store)
    for number in range(3):
        keep(cache, number, number + 1)
    cache.merge(KEY)
    assert len(part_files(store)) == 3
    keep(cache, 7)
    cache.merge(KEY)
    (uri,) = part_files(store)
    assert sorted(pictures_in(store, uri)) == sorted(row(number).image_id for number in (0, 1, 2, 3, 7))
    assert kept(cache, *range(8)) == expected(0, 1, 2, 3, 7)
    cache.merge(KEY)
    assert part_files(store) == [uri]


def test_packed_parts_are_not_larger_than_need_be_and_stay(
    disk: LocalArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full one is never packed again, so that a cache that grows does not write all of it anew."""
    monkeypatch.setattr(feature_cache, "MANY", 2)
    monkeypatch.setattr(feature_cache, "FULL_BYTES", 3 * LENGTH * 4)
    cache = FeatureCache(disk)
    for number in range(7):
        keep(cache, number)
    before = set(part_files(disk))
    monkeypatch.setattr(feature_cache, "FULL_BYTES", 4000)
    cache.merge(KEY)
    full = set(part_files(disk))
    assert not full & before
    assert [len(pictures_in(disk, uri)) for uri in full] == [7]
    monkeypatch.setattr(feature_cache, "FULL_BYTES", 1000)
    for number in range(20, 23):
        keep(cache, number)
    cache.merge(KEY)
    assert full < set(part_files(disk))
    assert kept(cache, *range(23)) == expected(*range(7), 20, 21, 22)


def _pack_and_die(path: str, removals: int) -> None:
    from tests.materializers.stores import disk_store

    def remove_or_die(*arguments: Any) -> bool:
        nonlocal removals
        if removals == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        removals -= 1
        return remove_file(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_cache, "remove_file", remove_or_die)
        FeatureCache(disk_store(Path(path))).merge(KEY)


@pytest.mark.parametrize("removals", [0, 2])
def test_whoever_is_killed_while_packing_leaves_everything_readable(
    disk: LocalArtifactStore, removals: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures that are in two parts then are given once, and the next packing puts it right."""
    monkeypatch.setattr(feature_cache, "MANY", 2)
    cache = FeatureCache(disk)
    for number in range(4):
        keep(cache, number)
    child = multiprocessing.get_context("fork").Process(target=_pack_and_die, args=(disk.path, removals))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert len(part_files(disk)) == 5 - removals
    assert kept(cache, *range(4)) == expected(*range(4))
    cache.merge(KEY)
    assert len(part_files(disk)) == 1
    assert kept(cache, *range(4)) == expected(*range(4))


def test_a_part_that_was_packed_since_it_was_listed_is_found_in_the_new_one(
    disk: LocalArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who reads meanwhile looks again, and misses nothing."""
    cache = FeatureCache(disk)
    for number in range(4):
        keep(cache, number)
    read = read_blob

    def pack_first(store: BaseArtifactStore, uri: str) -> bytes:
        monkeypatch.setattr(feature_cache, "read_blob", read)
        monkeypatch.setattr(feature_cache, "MANY", 1)
        cache.merge(KEY)
        return read(store, uri)

    monkeypatch.setattr(feature_cache, "AT_ONCE", 1)
    monkeypatch.setattr(feature_cache, "read_blob", pack_first)
    assert kept(cache, *range(4)) == expected(*range(4))
    assert len(part_files(disk)) == 1


def test_erased_pictures_leave_every_part(store: BaseArtifactStore) -> None:
    """Of each key, in each orientation; parts of others stay the same files, and one that is empty goes."""
    other = KEY.model_copy(update={"runtime": "onnxruntime 1.26"})
    cache = FeatureCache(store)
    keep(cache, 1, 2, 3)
    keep(cache, 1, 4, key=other)
    keep(cache, 5)
    untouched = {uri for uri in part_files(store) if row(5).image_id in pictures_in(store, uri)}
    cache.write(KEY, [row(1, orientation=6)], features(1))
    gone = {row(1).image_id}
    assert sum(names_one_of(store, uri, gone) for uri in part_files(store)) == 3
    assert cache.erase(gone) == 3
    assert not any(names_one_of(store, uri, gone) for uri in part_files(store))
    assert untouched < set(part_files(store))
    assert len(part_files(store)) == 3
    assert kept(cache, *range(6)) == expected(2, 3, 5)
    assert kept(cache, *range(6), key=other) == expected(4)
    assert cache.erase(gone) == 0


def test_a_part_of_which_nobody_knows_what_it_holds_goes_with_what_is_erased(
    disk: LocalArtifactStore,
) -> None:
    """It may hold the picture; its features are computed again."""
    cache = FeatureCache(disk)
    keep(cache, 1, 2)
    (uri,) = part_files(disk)
    write_blob(disk, uri, read_blob(disk, uri)[:-20])
    assert cache.erase({row(1).image_id}) == 0
    assert part_files(disk) == []


def test_a_picture_is_found_in_what_a_killed_process_left_half_written(disk: LocalArtifactStore) -> None:
    """By its id in the bytes; that it is no Arrow file does not matter."""
    cache = FeatureCache(disk)
    keep(cache, 1, 2)
    (uri,) = part_files(disk)
    half = f"{uri.rpartition('/')[0]}/.{'0' * 64}.arrow.{'0' * 32}.part"
    write_blob(disk, half, read_blob(disk, uri)[:-300])
    assert names_one_of(disk, half, {row(2).image_id})
    assert not names_one_of(disk, half, {row(3).image_id})
    assert not names_one_of(disk, half, ())
    assert kept(cache, 1, 2) == expected(1, 2)
    with pytest.raises(DamagedArtifact, match="computed again"):
        pictures_in(disk, half)


def test_a_use_makes_the_description_young_again(disk: LocalArtifactStore) -> None:
    """Once a day at most, and what was never used says nothing."""
    cache = FeatureCache(disk)
    assert kept(cache, 1) == {}
    assert not Path(disk.path, "features").exists()
    keep(cache, 1)
    description = Path(disk.path, "features", KEY.digest, "key.json")
    for days, changes in ((0.5, False), (2, True)):
        then = (datetime.now(UTC) - timedelta(days=days)).timestamp()
        os.utime(description, (then, then))
        assert kept(cache, 1) == expected(1)
        assert (description.stat().st_mtime > then + 1) is changes
    assert json.loads(description.read_text())["backbone"] == KEY.backbone


def test_a_full_disk_is_said_and_leaves_what_was_kept(
    disk: LocalArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line says so with exit code 4; no half of a part is left."""
    cache = FeatureCache(disk)
    keep(cache, 1)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(NoRoom, match="takes no more"):
        patch.setattr("materializers.blobs.os.fsync", full)
        keep(cache, 2)
    assert kept(cache, 1, 2) == expected(1)
    assert [path for path in Path(disk.path).rglob("*.part")] == []


def test_a_store_that_refuses_is_one_line(bucket_server: BucketServer) -> None:
    """Exit code 4, and the same command goes on once it answers."""
    with refusing(bucket_server.endpoint, lambda _: True) as proxy:
        cache = FeatureCache(s3_store_at(f"s3://{BUCKET}/refused", proxy.url, attempts=1))
        with pytest.raises(ServiceUnreachable, match="Run the same command again"):
            kept(cache, 1)
        with pytest.raises(ServiceUnreachable, match="cannot be read or written"):
            keep(cache, 1)
