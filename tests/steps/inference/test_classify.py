"""Tests of steps/inference/classify.py: every picture is answered once, whatever happens on the way."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import zipfile
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from blake3 import blake3
from zenml.artifact_stores import BaseArtifactStore

from materializers.blobs import write_blob
from materializers.errors import NoRoom, ServiceUnreachable, ShutterlineError, UsageError
from materializers.finished_shards import FinishedShards, ShardKey
from materializers.prediction_table import prediction_schema
from materializers.shards import picture_digest
from serving.cores import available_cores
from serving.model_directory import ModelDirectoryError
from serving.predictor import Predictor
from steps.data.files import FolderSource, Source
from steps.data.sources import open_source
from steps.inference import classify, classifying
from steps.inference.classify import Done, Part, Shards, classify_source, processes_for
from steps.inference.classifying import Given, Model
from tests.bucket import BucketServer
from tests.materializers.stores import disk_store, s3_store
from tests.serving.conftest import CLASSES, ExportedModel, exported
from tests.serving.pictures import encode, gradient
from tests.spawned import spawned_children

__all__ = ["exported"]

PICTURES = 23
KEY = ShardKey(model_digest="d" * 64, model_version=7, code="c" * 64, settings={"batch_size": 4})
SMALL = Shards(pictures=4)
WRITE_BLOB = "materializers.finished_shards.write_blob"


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures in two folders, one of them no picture at all, one of them cut short."""
    folder = tmp_path_factory.mktemp("photographs")
    for number in range(PICTURES):
        path = folder / ("new" if number % 3 else "old") / f"{number:03}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode(gradient(40, 32, number)))
    (folder / "new" / "words.jpg").write_text("no picture")
    (folder / "new" / "cut.png").write_bytes(encode(gradient(40, 32))[:-300])
    return folder


def model_of(exported: ExportedModel) -> Model:
    """The tiny network, as version 7."""
    return Model(str(exported.directory), exported.digest, version=7, threads=1, batch_size=4)


def kept_in(folder: Path) -> FinishedShards:
    """The finished shards of a store in this folder, as they are there now."""
    folder.mkdir(exist_ok=True)
    return FinishedShards(disk_store(folder), KEY)


def classified(photographs: Path, exported: ExportedModel, store: Path, **options: Any) -> Done:
    """The answers for a folder, in small shards, by this process unless another number is given."""
    given: dict[str, Any] = {"shards": SMALL, "processes": 1} | options
    with open_source(str(photographs)) as source:
        return classify_source(source, model_of(exported), kept_in(store), **given)


def rows_of(done: Done) -> list[dict[str, Any]]:
    """What was written so far, as rows."""
    done.writer._flush()
    done.writer._writer.close()
    rows: list[dict[str, Any]] = pq.read_table(done.writer._path).to_pylist()
    return rows


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that are classified in this process from now on."""
    seen: list[str] = []
    real = classifying.Classifying.classify

    def classify_and_count(self: classifying.Classifying, pictures: list[Given]) -> pa.Table:
        seen.extend(each.path for each in pictures)
        return real(self, pictures)

    monkeypatch.setattr(classifying.Classifying, "classify", classify_and_count)
    return seen


def test_every_picture_has_one_row_in_the_order_of_the_source(
    photographs: Path, exported: ExportedModel, tmp_path: Path
) -> None:
    """Also those that are none: they have a reason; whatever the shards, the answers are the predictor's."""
    done = classified(photographs, exported, tmp_path)
    rows = rows_of(done)
    paths = sorted(str(path.relative_to(photographs)) for path in photographs.rglob("*.*g"))
    assert [row["path"] for row in rows] == paths
    predictor = Predictor.load(exported.directory)
    for row in rows:
        (answer,) = predictor.predict([(photographs / row["path"]).read_bytes()])
        assert row["label"] == getattr(answer, "label", None)
        assert (row["error"] or "").partition(":")[0] == getattr(answer, "reason", "")
        assert row["model_version"] == 7
    assert (done.writer.tally.pictures, dict(done.writer.tally.bad)) == (
        PICTURES + 2,
        {"not_an_image": 1, "truncated": 1},
    )


def test_several_processes_answer_as_one(photographs: Path, exported: ExportedModel, tmp_path: Path) -> None:
    """The same rows in the same order, and no process is left."""
    one = rows_of(classified(photographs, exported, tmp_path / "one"))
    assert rows_of(classified(photographs, exported, tmp_path / "two", processes=2)) == one
    assert not spawned_children()


@pytest.mark.parametrize("limit", [Shards(pictures=1), Shards(bytes=1), Shards(pictures=10**6)])
def test_the_size_of_a_shard_changes_no_answer(
    photographs: Path, exported: ExportedModel, tmp_path: Path, limit: Shards
) -> None:
    """By count, by bytes, or all in one: only how much a killed run loses."""
    one = rows_of(classified(photographs, exported, tmp_path / "one"))
    assert rows_of(classified(photographs, exported, tmp_path / "other", shards=limit)) == one
    kept = len(list((tmp_path / "other").rglob("*.parquet")))
    assert kept == (1 if limit.pictures == 10**6 else PICTURES + 2)


def _classify_and_die(photographs: Path, exported: ExportedModel, store: Path, after: int) -> None:
    """Classify shard by shard, and be killed after so many were kept."""
    left = iter(range(after))
    real = FinishedShards.write

    def write_or_die(self: FinishedShards, digest: str, table: pa.Table) -> None:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        real(self, digest, table)

    FinishedShards.write = write_or_die  # type: ignore[method-assign]
    classified(photographs, exported, store)


@pytest.mark.parametrize("after", [0, 3])
def test_a_killed_run_goes_on_where_it_was(
    photographs: Path, exported: ExportedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """By SIGKILL: only what is missing is classified, and no row is lost or doubled."""
    store = tmp_path / "store"
    child = multiprocessing.get_context("spawn").Process(
        target=_classify_and_die, args=(photographs, exported, store, after)
    )
    child.start()
    child.join(120)
    assert child.exitcode == -signal.SIGKILL
    seen = counted(monkeypatch)
    done = classified(photographs, exported, store)
    assert len(seen) == PICTURES + 2 - 4 * after
    assert done.taken_over == 4 * after
    assert rows_of(done) == rows_of(classified(photographs, exported, tmp_path / "uninterrupted"))


def test_a_process_that_is_killed_ends_it_and_what_was_classified_is_kept(
    photographs: Path, exported: ExportedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by the machine's memory killer: no traceback but what to do, and the same command goes on."""
    real = FinishedShards.write

    def write_and_kill(self: FinishedShards, digest: str, table: pa.Table) -> None:
        real(self, digest, table)
        for child in spawned_children():
            with contextlib.suppress(psutil.Error):  # it ended meanwhile
                child.kill()

    with monkeypatch.context() as patched:
        patched.setattr(FinishedShards, "write", write_and_kill)
        with pytest.raises(ShutterlineError, match=r"goes on from there.*--set inference\.processes=1"):
            classified(photographs, exported, tmp_path / "store", processes=2)
    done = classified(photographs, exported, tmp_path / "store")
    assert done.taken_over >= SMALL.pictures
    assert len(rows_of(done)) == PICTURES + 2


def test_a_changed_picture_is_classified_again_and_no_other_shard(
    exported: ExportedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same path, same size, same time of change: the bytes decide."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number in range(8):
        (folder / f"{number}.png").write_bytes(encode(gradient(40, 32, number), compress_level=0))
    before = rows_of(classified(folder, exported, tmp_path / "store"))
    changed = folder / "5.png"
    was = changed.stat()
    changed.write_bytes(encode(gradient(40, 32, 99), compress_level=0))
    os.utime(changed, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert changed.stat().st_size == was.st_size
    seen = counted(monkeypatch)
    after = rows_of(classified(folder, exported, tmp_path / "store"))
    assert seen == ["4.png", "5.png", "6.png", "7.png"]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True] * 5 + [False] + [True] * 2


def test_a_damaged_shard_is_classified_again(
    photographs: Path, exported: ExportedModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Bytes that turned on the disk, a file cut short: the answers are right, the log names the files."""
    first = rows_of(classified(photographs, exported, tmp_path))
    turned, cut, *_ = sorted(tmp_path.rglob("*.parquet"))
    lost = sum(pq.read_metadata(shard).num_rows for shard in (turned, cut))
    data = bytearray(turned.read_bytes())
    data[60] ^= 0xFF
    turned.write_bytes(data)
    cut.write_bytes(cut.read_bytes()[:-9])
    again = classified(photographs, exported, tmp_path)
    assert rows_of(again) == first
    assert again.taken_over == PICTURES + 2 - lost
    assert [name for name in (turned.name, cut.name) if name in caplog.text] == [turned.name, cut.name]


def test_a_picture_that_changes_while_it_runs_refuses_the_whole(
    exported: ExportedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows then which of the two was meant; what was classified stays for the next run."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number in range(8):
        (folder / f"{number}.png").write_bytes(encode(gradient(40, 32, number)))
    unchanged = FolderSource.check_unchanged

    def after_a_change(self: FolderSource) -> None:
        (folder / "0.png").write_bytes(encode(gradient(50, 32, 50)))
        unchanged(self)

    with monkeypatch.context() as patched:
        patched.setattr(FolderSource, "check_unchanged", after_a_change)
        with pytest.raises(UsageError, match=r"refused as a whole: 0\.png changed while it was read"):
            classified(folder, exported, tmp_path / "store")
    assert classified(folder, exported, tmp_path / "store").taken_over == 4


def test_pictures_that_come_while_it_runs_wait_for_the_next_run(
    exported: ExportedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was there at the start is answered; an upload that goes on refuses nothing."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    (folder / "0.png").write_bytes(encode(gradient(40, 32)))
    read = FolderSource.read

    def while_one_comes(self: FolderSource, path: str) -> bytes:
        (folder / "1.png").write_bytes(encode(gradient(40, 32, 1)))
        return read(self, path)

    with monkeypatch.context() as patched:
        patched.setattr(FolderSource, "read", while_one_comes)
        done = classified(folder, exported, tmp_path / "store")
    assert [row["path"] for row in rows_of(done)] == ["0.png"]
    again = rows_of(classified(folder, exported, tmp_path / "store"))
    assert [row["path"] for row in again] == ["0.png", "1.png"]


def test_a_picture_that_goes_or_may_not_be_read_has_its_reason(
    exported: ExportedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link to nowhere or a pipe stops nothing; there are no bytes, so there is no digest of them."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    (folder / "a.png").write_bytes(encode(gradient(40, 32)))
    (folder / "b.png").symlink_to("nowhere.png")
    os.mkfifo(folder / "c.png")
    rows = rows_of(classified(folder, exported, tmp_path / "store"))
    assert [(row["path"], row["error"], row["input_digest"] is None) for row in rows] == [
        ("a.png", None, False),
        ("b.png", "missing: there is no such file", True),
        ("c.png", "unreadable: it is no regular file", True),
    ]


def test_members_of_one_name_are_one_picture(exported: ExportedModel, tmp_path: Path) -> None:
    """Of an archive that holds a path twice the later one counts, as in a delivery."""
    archive = tmp_path / "twice.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("a.png", "no picture")
        with pytest.warns(UserWarning, match="Duplicate name"):
            packed.writestr("a.png", encode(gradient(40, 32)))
    (row,) = rows_of(classified(archive, exported, tmp_path / "store"))
    assert (row["path"], row["error"]) == ("a.png", None)


@pytest.mark.parametrize("processes", [1, 2])
def test_an_empty_source_has_no_rows(exported: ExportedModel, tmp_path: Path, processes: int) -> None:
    """The columns are those of the model; nothing is kept."""
    (tmp_path / "photographs").mkdir()
    done = classified(tmp_path / "photographs", exported, tmp_path / "store", processes=processes)
    assert rows_of(done) == []
    assert done.writer._schema == prediction_schema(CLASSES)
    assert not list(tmp_path.rglob("*.parquet"))


def test_each_picture_is_in_exactly_one_part(
    photographs: Path, exported: ExportedModel, tmp_path: Path
) -> None:
    """Together the parts are the whole, also when pictures came between two looks at the source."""
    whole = rows_of(classified(photographs, exported, tmp_path))
    parts = [
        rows_of(classified(photographs, exported, tmp_path, part=Part(number, 3))) for number in range(3)
    ]
    assert all(parts)
    assert sorted((row for part in parts for row in part), key=lambda row: row["path"]) == whole
    paths = [row["path"] for row in whole]
    assert set(Part(1, 3).of(paths)) < set(Part(1, 3).of([*paths, "another.png", "caf\udce9.png"])) | {"x"}


@pytest.mark.parametrize("processes", [1, 2])
def test_a_model_that_is_not_the_pinned_one_answers_nothing(
    photographs: Path, exported: ExportedModel, tmp_path: Path, processes: int
) -> None:
    """Its digest is computed again where it is loaded."""
    other = Model(str(exported.directory), "0" * 64, version=7, threads=1, batch_size=4)
    with (
        open_source(str(photographs)) as source,
        pytest.raises(ModelDirectoryError, match="the release names 0"),
    ):
        classify_source(source, other, kept_in(tmp_path), processes=processes, shards=SMALL)
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_full_disk_ends_it_and_what_was_classified_is_kept(
    photographs: Path, exported: ExportedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a line that names the folder; the same command goes on."""
    left = iter(range(2))
    real = write_blob

    def full(store: BaseArtifactStore, uri: str, data: bytes) -> None:
        if next(left, None) is None:
            raise NoRoom(f"{uri} takes no more")
        real(store, uri, data)

    with monkeypatch.context() as patched:
        patched.setattr(WRITE_BLOB, full)
        with pytest.raises(NoRoom, match="takes no more"):
            classified(photographs, exported, tmp_path)
    assert classified(photographs, exported, tmp_path).taken_over == 8


def test_a_store_that_does_not_answer_is_named(
    photographs: Path, exported: ExportedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line, with how to go on."""

    def broken(*_: object) -> None:
        raise ConnectionError("refused")

    monkeypatch.setattr(WRITE_BLOB, broken)
    with pytest.raises(
        ServiceUnreachable, match=r"cannot be read or written \(refused\)\. Run the same command"
    ):
        classified(photographs, exported, tmp_path)


def test_pictures_of_a_bucket_are_classified_and_what_is_finished_is_kept_in_one(
    photographs: Path, exported: ExportedModel, bucket: BucketServer, tmp_path: Path
) -> None:
    """The rows are those of the same pictures on disk, and a second run finds all shards."""
    address = bucket.upload(photographs, "photographs")
    store = s3_store(bucket.endpoint)
    on_disk = rows_of(classified(photographs, exported, tmp_path))
    for taken_over in (0, PICTURES + 2):
        with open_source(address) as source:
            kept = FinishedShards(store, KEY)
            done = classify_source(source, model_of(exported), kept, processes=1, shards=SMALL)
        assert (rows_of(done), done.taken_over) == (on_disk, taken_over)
    store.cleanup()


def test_memory_does_not_grow_with_the_source(
    exported: ExportedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a source with many pictures no more than a few shards are read and not yet classified."""
    read, most = 0, 0
    done = 0

    class Endless(Source):
        """Thousands of pictures."""

        def rows(self) -> Any:
            raise NotImplementedError

        def pictures(self) -> list[str]:
            return [f"{number:05}.png" for number in range(2000)]

        def read(self, path: str) -> bytes:
            nonlocal read, most
            read += 1
            most = max(most, read - done)
            return b"no picture"

        def check_unchanged(self) -> None:
            return None

    real = classifying.Classifying.classify

    def classify_and_count(self: classifying.Classifying, pictures: list[Given]) -> pa.Table:
        nonlocal done
        table = real(self, pictures)
        done += len(pictures)
        return table

    monkeypatch.setattr(classifying.Classifying, "classify", classify_and_count)
    source = Endless("many", open_source(str(tmp_path)).limits)
    found = classify_source(source, model_of(exported), kept_in(tmp_path / "s"), processes=1, shards=SMALL)
    assert found.writer.tally.pictures == 2000
    assert most <= 50


def test_few_pictures_need_no_other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes a second to begin; for many there are as many as cores, of which a container has a quota."""
    assert processes_for(classify.FEW - 1) == 1
    assert processes_for(10**6) == min(available_cores(), classify.MOST_PROCESSES)
    monkeypatch.setattr(classify, "available_cores", lambda: 3)
    assert processes_for(10**6) == 3


def test_a_picture_is_digested_once(
    photographs: Path, exported: ExportedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For its shard and for its row together."""
    digested: list[bytes] = []

    def noted(data: bytes) -> str:
        digested.append(data)
        return picture_digest(data)

    monkeypatch.setattr(classifying, "picture_digest", noted)
    rows = rows_of(classified(photographs, exported, tmp_path))
    assert [blake3(data).hexdigest() for data in digested] == [row["input_digest"] for row in rows]
