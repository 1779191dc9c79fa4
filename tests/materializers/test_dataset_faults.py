"""What may happen to a dataset while it is stored or lies there: nothing that is handed out is ever wrong.

Real files and a real S3 server: killed processes, full disks, changed bits, refused requests.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from zenml.artifact_stores import BaseArtifactStore

from materializers.blobs import list_folder, read_blob, write_blob
from materializers.errors import DamagedArtifact, NoRoom, ServiceUnreachable
from materializers.image_dataset import ImageDataset, ImageDatasetMaterializer
from materializers.image_manifest import check_shards
from materializers.shards import SHARDS_FOLDER
from tests.bucket import BUCKET, BucketServer
from tests.materializers import saves_and_dies
from tests.materializers.examples import dataset
from tests.materializers.refusing_proxy import refusing
from tests.materializers.saves_and_dies import ROUNDS, SHARDS, large_dataset, save, store_at
from tests.materializers.stores import disk_store, s3_store_at

PROJECT = Path(__file__).resolve().parents[2]
FULL_DISKS = ["limit", "disk"] if os.geteuid() == 0 else ["limit"]
"""A limit that the system sets to files; a file system of its own, which root alone can mount."""
on_full_disks = pytest.mark.parametrize(
    ("small_disk", "kind"), [(each, each) for each in FULL_DISKS], indirect=["small_disk"]
)
FLIPS = 40


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is read comes from the store."""
    monkeypatch.setenv("SHUTTERLINE_CACHE_BYTES", "0")


@pytest.fixture
def endpoint(request: pytest.FixtureRequest, store: BaseArtifactStore) -> str | None:
    """Where the store's server is; None for a folder."""
    if not store.path.startswith("s3://"):
        return None
    server: BucketServer = request.getfixturevalue("bucket_server")
    return server.endpoint


def load(store: BaseArtifactStore, name: str) -> ImageDataset:
    """A stored version."""
    return ImageDatasetMaterializer(f"{store.path}/{name}", store).load(ImageDataset)


def content(found: ImageDataset) -> dict[str, bytes]:
    """Every picture of a version, read and verified."""
    return dict(found.scan())


def files(store: BaseArtifactStore, name: str) -> dict[str, bytes]:
    """The files of one version, its shards among them."""
    folder = f"{store.path}/{name}"
    found = {each: read_blob(store, f"{folder}/{each}") for each in list_folder(store, folder)}
    for digest in json.loads(found["manifest.json"])["shards"]:
        found[digest] = read_blob(store, f"{store.path}/{SHARDS_FOLDER}/{digest}.arrow")
    return found


# --- Killed -----------------------------------------------------------------------------------------------


def killed(*arguments: str | None) -> list[bool]:
    """Run what saves and dies; whether each of its processes was killed."""
    done = subprocess.run(
        [sys.executable, saves_and_dies.__file__, *(each for each in arguments if each)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found: list[bool] = json.loads(done.stdout)
    return found


def check_killed_save(store: BaseArtifactStore, number: int, reference: BaseArtifactStore) -> None:
    """What a killed process left is no version or a whole one; saved again it ends as it would have."""
    name, wanted = f"killed-{number}", large_dataset(number)
    try:
        assert content(load(store, name)) == content(wanted)
    except DamagedArtifact as error:
        assert "manifest.json cannot be read" in str(error)
    assert content(load(store, "earlier")) == content(dataset(*range(10)))
    save(store, name, wanted)
    save(reference, name, wanted)
    assert files(store, name) == files(reference, name)


def test_a_process_killed_before_any_of_its_files_took_its_name_harms_nothing(tmp_path: Path) -> None:
    """At each rename: the version is not there, the earlier one is, and the same save ends the same."""
    store, reference = disk_store(tmp_path / "store"), disk_store(tmp_path / "reference")
    save(store, "earlier", dataset(*range(10)))
    assert killed("renames", store.path) == [True] * (SHARDS + 2)  # and the index, and the manifest
    for number in range(1, SHARDS + 3):
        with pytest.raises(DamagedArtifact, match=r"manifest\.json cannot be read"):
            load(store, f"killed-{number}")
        check_killed_save(store, number, reference)


def test_a_process_killed_at_any_time_harms_nothing(
    store: BaseArtifactStore, endpoint: str | None, tmp_path: Path
) -> None:
    """At ten times spread over a save, on disk and in a bucket."""
    reference = disk_store(tmp_path / "reference")
    save(store, "earlier", dataset(*range(10)))
    were_killed = killed("times", store.path, endpoint)
    assert len(were_killed) == ROUNDS
    assert sum(were_killed) >= 3, "the processes were faster than the strikes"
    for number in range(1, ROUNDS + 1):
        check_killed_save(store, number, reference)


def save_in_child(address: str, endpoint: str | None, number: int) -> None:
    """Save one version as another process does."""
    save(store_at(address, endpoint), "twice", large_dataset(number))


def test_processes_may_save_the_same_delivery_at_once(
    store: BaseArtifactStore, endpoint: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """All end well, and the version is whole."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # a worker ends without tidying up
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=save_in_child, args=(store.path, endpoint, 1)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(120)
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert content(load(store, "twice")) == content(large_dataset(1))


# --- Missing ----------------------------------------------------------------------------------------------


def test_a_shard_that_is_missing_or_cut_is_named_without_reading_it(tmp_path: Path) -> None:
    """What is to be done without is known before anything is stored that would need it."""
    store = disk_store(tmp_path)
    save(store, "kept", dataset(*range(10)))
    index = load(store, "kept").index
    check_shards(store, index)
    (shard,) = (tmp_path / SHARDS_FOLDER).iterdir()
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(
        DamagedArtifact, match=rf"{shard} is damaged: it has 1,000 bytes, its pictures reach to"
    ):
        check_shards(store, index)
    shard.unlink()
    with pytest.raises(DamagedArtifact, match=f"{shard} is missing"):
        check_shards(store, index)


# --- Full -------------------------------------------------------------------------------------------------


@contextmanager
def full(kind: str, folder: Path) -> Iterator[None]:
    """Let the folder have no room for a shard of 160 kB, or only for a few."""
    if kind == "limit":
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        return
    subprocess.run(["mount", "-o", "remount,size=500k", str(folder)], check=True)
    yield
    subprocess.run(["mount", "-o", "remount,size=50m", str(folder)], check=True)


@pytest.fixture
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """An empty folder, a file system of its own where that is asked for."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if request.param == "limit":
        yield folder
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=50m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    ("small_disk", "kind"), [(each, each) for each in FULL_DISKS], indirect=["small_disk"]
)
def test_a_full_disk_leaves_the_previous_version(small_disk: Path, kind: str, tmp_path: Path) -> None:
    """The save fails, leaves no half file, and succeeds when there is room again."""
    store = disk_store(small_disk)
    wanted, earlier = large_dataset(1), dataset(*range(10))
    save(store, "earlier", earlier)
    with full(kind, small_disk), pytest.raises(NoRoom) as refused:
        save(store, "later", wanted)
    assert f"{small_disk}/datasets/shards takes no more" in str(refused.value)
    assert re.search(
        r"\.arrow could not be written \((File too large|No space left .*); [\d,]+ bytes", str(refused.value)
    )
    assert "run the same command again" in str(refused.value)
    assert not [path for path in small_disk.rglob("*") if path.suffix == ".part"]
    with pytest.raises(DamagedArtifact, match=r"later/manifest\.json cannot be read"):
        load(store, "later")
    assert content(load(store, "earlier")) == content(earlier)
    save(store, "later", wanted)
    reference = disk_store(tmp_path / "reference")
    save(reference, "later", wanted)
    assert files(store, "later") == files(reference, "later")


@pytest.mark.parametrize(
    ("small_disk", "kind"), [(each, each) for each in FULL_DISKS], indirect=["small_disk"]
)
def test_a_full_temporary_folder_is_left_empty(
    small_disk: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures that cannot wait on disk are an error, and what waited already is removed."""
    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    with full(kind, small_disk), pytest.raises(NoRoom) as refused:
        large_dataset(1)
    said = str(refused.value)
    del refused  # and with it the frames that hold the pictures
    assert f"{small_disk} takes no more: a shard of pictures could not be written" in said
    assert "export TMPDIR" in said
    assert list(small_disk.iterdir()) == []


# --- Changed ----------------------------------------------------------------------------------------------


def read_or_named(store: BaseArtifactStore, expected: dict[str, bytes], path: str) -> bool:
    """Read a damaged version: it is refused with the name of a file of it, or it is what was stored."""
    try:
        found = load(store, "dataset/1")
        ids = list(found.index["image_id"])
        one_by_one = {image_id: found.pictures([image_id])[0] for image_id in ids}
        assert one_by_one == content(found) == expected
    except DamagedArtifact as error:
        said = str(error)
        assert path in said or f"{store.path}/dataset/1" in said
        assert "python run.py --train --source PATH" in said
        return True
    return False


def stored_files(store: BaseArtifactStore) -> dict[str, bytes]:
    """Every file of a store with one version, by address."""
    folders = (f"{store.path}/dataset/1", f"{store.path}/{SHARDS_FOLDER}")
    paths = [f"{folder}/{name}" for folder in folders for name in list_folder(store, folder)]
    return {path: read_blob(store, path) for path in paths}


def test_one_changed_bit_is_never_read(store: BaseArtifactStore) -> None:
    """A bit of shard, index or manifest: the version is refused, or what is read is right all the same."""
    before = dataset(*range(12)).forget(dataset(0).index["image_id"])
    save(store, "dataset/1", before)
    expected, chance = content(before), random.Random(5)  # noqa: S311
    for path, data in stored_files(store).items():
        found = []
        for _ in range(FLIPS):
            bit = chance.randrange(8 * len(data))
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            write_blob(store, path, bytes(changed))
            found.append(read_or_named(store, expected, path))
        write_blob(store, path, data)
        assert all(found) or not path.endswith(".parquet")
        assert any(found)
    assert not read_or_named(store, expected, "")


def test_a_file_that_was_cut_or_lost_is_named(store: BaseArtifactStore) -> None:
    """At any length, down to nothing at all: the error names the file."""
    before = dataset(*range(12))
    save(store, "dataset/1", before)
    for path, data in stored_files(store).items():
        for length in (0, 1, len(data) // 2, len(data) * 3 // 4):
            write_blob(store, path, data[:length])
            assert read_or_named(store, content(before), path)
        store.remove(path)
        assert read_or_named(store, content(before), path)
        write_blob(store, path, data)
    assert not read_or_named(store, content(before), "")


# --- Refused ----------------------------------------------------------------------------------------------


def test_a_bucket_that_refuses_every_other_request_is_asked_again(
    bucket_store: BaseArtifactStore, bucket_server: BucketServer, tmp_path: Path
) -> None:
    """Saving and reading go on until they succeed, with the same bytes."""
    wanted, reference = large_dataset(1), disk_store(tmp_path / "reference")
    with refusing(bucket_server.endpoint, lambda number: number % 2 == 0) as proxy:
        busy = s3_store_at(bucket_store.path, proxy.url)
        save(busy, "dataset/1", wanted)
        refused_writes = proxy.refused
        found = load(busy, "dataset/1")
        ids = found.index["image_id"].tolist()
        assert found.pictures(ids[:5]) == wanted.pictures(ids[:5])
        assert content(found) == content(wanted)
        assert SHARDS + 2 <= refused_writes < proxy.refused
    save(reference, "dataset/1", wanted)
    assert files(bucket_store, "dataset/1") == files(reference, "dataset/1")


def test_a_bucket_that_stops_answering_leaves_the_previous_version(
    bucket_store: BaseArtifactStore, bucket_server: BucketServer
) -> None:
    """From any request on: the save fails, there is no version, and the same save completes later."""
    save(bucket_store, "earlier", dataset(*range(10)))
    for last in range(1, 4):
        wanted = large_dataset(last)
        with refusing(bucket_server.endpoint, lambda number, last=last: number >= last) as proxy:  # type: ignore[misc]
            down = s3_store_at(bucket_store.path, proxy.url, attempts=1)
            with pytest.raises(OSError, match="Busy"):
                save(down, f"later-{last}", wanted)
        with pytest.raises(DamagedArtifact, match=r"manifest\.json cannot be read"):
            load(bucket_store, f"later-{last}")
        assert content(load(bucket_store, "earlier")) == content(dataset(*range(10)))
        save(bucket_store, f"later-{last}", wanted)
        assert content(load(bucket_store, f"later-{last}")) == content(wanted)


@pytest.mark.parametrize(("answered", "named"), [(0, "manifest.json"), (1, "index-"), (2, ".arrow")])
def test_a_bucket_that_does_not_answer_is_no_damage(
    bucket_store: BaseArtifactStore,
    bucket_server: BucketServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    answered: int,
    named: str,
) -> None:
    """Whatever could not be read is named, and nobody is told to deliver it again."""
    monkeypatch.setenv("SHUTTERLINE_CACHE_DIR", str(tmp_path))  # else another test's copy may answer
    save(bucket_store, "dataset/1", dataset(1, 2))
    with refusing(bucket_server.endpoint, lambda number: number >= answered) as proxy:
        down = s3_store_at(bucket_store.path, proxy.url, attempts=1)
        with pytest.raises(ServiceUnreachable, match=f"{BUCKET}.*{named}.*cannot be read .*later") as raised:
            content(load(down, "dataset/1"))
    assert "--source" not in str(raised.value)
