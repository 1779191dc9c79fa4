"""Small shards become full ones; every dataset stays what it is."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from zenml.artifact_stores import BaseArtifactStore
from zenml.artifact_stores.local_artifact_store import LocalArtifactStore

from actions.compact import compact, compact_dataset
from actions.result import ActionResult
from materializers import blobs
from materializers.image_dataset import ImageDataset
from materializers.shards import shard_uri
from tests.actions.kept import Kept, dataset
from tests.actions.test_collect import LATER, apply, found


def grown(kept: Kept) -> str:
    """A dataset of five deliveries, a shard each."""
    whole = dataset(0, 1)
    for seed in range(2, 6):
        whole = whole.join(dataset(seed))
    assert len(whole.shards) == 5
    return kept.save(whole)


def test_small_shards_become_one(store: BaseArtifactStore) -> None:
    """Same version, same bytes, one shard; the old ones are nobody's and fall to --collect."""
    kept = Kept(store)
    uri = grown(kept)
    before = kept.load(uri)
    old = kept.shards()
    done = compact_dataset(store, uri)
    after = kept.load(uri)
    assert done is not None
    assert (done["shards_before"], done["shards_after"]) == (5, 1)
    assert done["version"] == after.version == before.version
    (new,) = after.shards
    assert kept.shards() == old | {new}
    ids = list(before.index["image_id"])
    pictures = before.pictures(ids)
    assert after.pictures(ids) == pictures
    assert len([each for each in found(kept, LATER) if each.kind == "shard"]) == 5
    apply(kept)
    assert kept.shards() == {new}
    assert kept.load(uri).pictures(ids) == pictures


def test_a_shard_that_was_replaced_just_now_is_kept_for_who_reads_it(disk: BaseArtifactStore) -> None:
    """However old it is: a run that loaded the manifest before goes on reading it."""
    kept = Kept(disk)
    uri = grown(kept)
    reading = kept.load(uri)
    days_ago = time.time() - 3 * 24 * 3600
    for path in shard_files(disk):
        os.utime(path, (days_ago, days_ago))
    compact_dataset(disk, uri)
    assert [each.uri for each in found(kept, datetime.now(UTC))] == []
    assert len(dict(reading.scan())) == len(reading)


def test_versions_that_are_compacted_together_go_on_sharing(disk: BaseArtifactStore) -> None:
    """Of twenty versions, each with one more delivery, no picture is packed a second time."""
    kept = Kept(disk)
    uris, joined = [], dataset(0)
    for number in range(1, 21):
        joined = joined.join(dataset(number))
        uris.append(kept.save(joined))
    before = {uri: kept.load(uri) for uri in uris}
    packed: list[ImageDataset] = []
    written = 0
    for uri in reversed(uris):
        done = compact_dataset(disk, uri, packed)
        written += done["bytes_written"] if done else 0
        assert kept.load(uri).version == before[uri].version
        assert dict(kept.load(uri).scan()) == dict(before[uri].scan())
    named = {digest for uri in uris for digest in kept.load(uri).shards}
    assert len(named) == 1
    assert written == sum(path.stat().st_size for path in shard_files(disk) if path.stem in named)


def compacted(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> ActionResult:
    """What ``--compact`` tells of a store."""
    monkeypatch.setattr("actions.compact.active_store", lambda: kept.store)
    monkeypatch.setattr("actions.compact.known_artifacts", lambda: kept.artifacts)
    return compact()


def test_small_shards_are_packed_in_whatever_order_they_were_stored(
    disk: BaseArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A delivery that is stored after the dataset which it joined does not keep that from being packed."""
    kept = Kept(disk)
    first, second = dataset(0, 1, 2), dataset(3, 4)
    joined = second.join(first)
    uri = kept.save(joined)
    for copy in (joined, first, second, second):
        kept.save(copy)
    done = compacted(kept, monkeypatch)
    (packed,) = kept.load(uri).shards
    assert {digest for each in kept.artifacts for digest in kept.load(each.uri).shards} == {packed}
    (row,) = done.details["datasets"]
    assert (row["version"], row["shards_before"], row["shards_after"]) == (joined.version, 2, 1)
    assert done.reasons[0].startswith("1 of 3 versions have fewer shards, and 2 read shards of theirs now; ")
    assert (
        done.details["bytes_written"]
        == (Path(disk.path) / "datasets" / "shards" / f"{packed}.arrow").stat().st_size
    )


def test_versions_of_another_model_are_packed_among_themselves(
    disk: BaseArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the largest dataset of the store has none of their pictures, they go on sharing."""
    kept = Kept(disk)
    kept.save(dataset(*range(20, 30)))
    uris, joined = [], dataset(0)
    for number in range(1, 4):
        joined = joined.join(dataset(number))
        uris.append(kept.save(joined))
    compacted(kept, monkeypatch)
    assert len({digest for uri in uris for digest in kept.load(uri).shards}) == 1


def test_where_nothing_is_packed_it_is_said_what_would_be(
    disk: BaseArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of versions, how many shards it takes, and what makes one small."""
    kept = Kept(disk)
    for _ in range(2):
        kept.save(dataset(1, 2))
    (said,) = compacted(kept, monkeypatch).reasons
    assert "1 versions were examined" in said
    assert "two or more shards of which it needs under 32 MB" in said


def shard_files(disk: BaseArtifactStore) -> list[Path]:
    """The files of all shards on disk."""
    return list((Path(disk.path) / "datasets" / "shards").iterdir())


def test_a_dataset_of_one_shard_is_left_alone(store: BaseArtifactStore) -> None:
    """Nothing is written, whether it was compacted before or never had to be."""
    kept = Kept(store)
    uri = kept.save(dataset(1, 2))
    before = kept.paths()
    assert compact_dataset(store, uri) is None
    assert kept.paths() == before
    other = grown(kept)
    compact_dataset(store, other)
    assert compact_dataset(store, other) is None


def _compact_and_die(kept: Kept, uri: str, after: int) -> None:
    """Compact, but have this process killed before it writes its ``after``-th file."""
    writes = 0
    original = blobs.write_blob

    def write_or_die(*arguments: Any) -> None:
        nonlocal writes
        writes += 1
        if writes == after:
            os.kill(os.getpid(), signal.SIGKILL)
        original(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("materializers.image_manifest.write_blob", write_or_die)
        compact_dataset(kept.store, uri)


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_compaction_that_was_killed_is_finished_by_the_next(disk: LocalArtifactStore, after: int) -> None:
    """Before its shard, its index, its manifest: the dataset is whole at any time."""
    kept = Kept(disk)
    uri = grown(kept)
    before = kept.load(uri)
    ids = list(before.index["image_id"])
    child = multiprocessing.get_context("fork").Process(target=_compact_and_die, args=(kept, uri, after))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    interrupted = kept.load(uri)
    assert (len(interrupted.shards), interrupted.pictures(ids)) == (5, before.pictures(ids))
    assert compact_dataset(disk, uri) is not None
    after_all = kept.load(uri)
    assert (len(after_all.shards), after_all.version) == (1, before.version)
    assert after_all.pictures(ids) == before.pictures(ids)


def test_a_version_whose_shard_is_gone_finds_its_pictures_in_another(
    disk: BaseArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is readable again; one with a picture that no other has stays as it is, and is named."""
    kept = Kept(disk)
    old, alone = dataset(0, 1), dataset(8, 9)
    uris = {each.version: kept.save(each) for each in (old, alone)}
    newer = dataset(0, 1, 2)
    kept.save(newer)
    for each in (old, alone):
        (digest,) = each.shards
        Path(shard_uri(disk, digest)).unlink()
    done = compacted(kept, monkeypatch)
    mended = kept.load(uris[old.version])
    assert (mended.version, mended.shards.keys()) == (old.version, newer.shards.keys())
    assert dict(mended.scan()) == dict(old.scan())
    assert done.details["mended"] == [old.version]
    assert done.details["damaged"] == [alone.version]
    assert f"Version {alone.version[:16]} lacks 1 shards" in done.reasons[-1]
    assert kept.load(uris[alone.version]).shards.keys() == alone.shards.keys()
