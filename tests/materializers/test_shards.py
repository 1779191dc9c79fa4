"""A shard is an Arrow file like any other, and one read at its place gives a picture."""

import io
import os
from pathlib import Path

import pyarrow as pa
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from zenml.artifact_stores import BaseArtifactStore
from zenml.artifact_stores.local_artifact_store import LocalArtifactStore

from materializers import shards
from materializers.blobs import write_blob
from materializers.errors import DamagedArtifact
from materializers.shards import (
    FileShard,
    Packer,
    Wanted,
    digest_of_name,
    held,
    layout,
    picture_digest,
    shard_name,
)
from tests.materializers.examples import png

PICTURES = st.lists(st.binary(max_size=300), unique=True, max_size=12)


def packed(pictures: list[bytes]) -> Packer:
    """Pictures in shards."""
    packer = Packer()
    for data in pictures:
        packer.add(picture_digest(data), data)
    packer.finish()
    return packer


def test_the_name_of_a_shard_says_its_digest() -> None:
    """And no other file's name says one, nor that of a shard which a killed save left half written."""
    digest = "ab" * 32
    assert digest_of_name(shard_name(digest)) == digest
    half = f".{shard_name(digest)}.0123.part"
    assert [digest_of_name(name) for name in (half, "notes.txt", f"{digest}.json")] == [None, None, None]


@settings(deadline=None, max_examples=80)
@given(pictures=PICTURES, size=st.sampled_from([1, 100, 700, 2**20]))
def test_a_shard_is_what_arrow_writes_itself(pictures: list[bytes], size: int) -> None:
    """Whatever the pictures and the size: readable by Arrow, the same bytes as its own, each at its place."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "SHARD_BYTES", size)
        packer = packed(pictures)
        again = packed(pictures)
    assert list(again.shards) == list(packer.shards)
    found = []
    for digest, shard in packer.shards.items():
        data = bytes(shard.whole())
        assert blake3(data).hexdigest() == digest
        table = pa.ipc.open_file(data).read_all()
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, shards.SCHEMA) as writer:
            writer.write_table(table)
        assert sink.getvalue().to_pybytes() == data
        assert b"".join(bytes(piece) for piece in shard.pieces()) == data
        assert layout(data) == shard.rows
        found += table.column("picture").to_pylist()
    assert found == pictures
    for data, place in zip(pictures, packer.places, strict=True):
        wanted = Wanted(picture_digest(data), place.offset, place.size)
        assert list(packer.shards[place.shard].pictures([wanted])) == [data]


def test_a_picture_larger_than_a_shard_has_one_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """No picture is cut, and the shards around it stay as large as they should be."""
    monkeypatch.setattr(shards, "SHARD_BYTES", 100)
    packer = packed([b"a" * 40, b"b" * 1000, b"c" * 40, b"d" * 40])
    assert [place.row for place in packer.places] == [0, 0, 0, 1]


def test_a_forked_process_leaves_the_temporary_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A worker that ends does not take the shards of the process that made it with it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(shards, "SHARD_BYTES", 1)
    packer = packed([png(1), png(2)])
    child = os.fork()
    if not child:
        del packer
        os._exit(0)
    os.waitpid(child, 0)
    assert len(list(tmp_path.glob("*/*.arrow"))) == 2
    del packer
    assert list(tmp_path.iterdir()) == []


def test_a_stored_shard_says_what_it_holds(store: BaseArtifactStore) -> None:
    """By the ids in it, and in the first format, which has none, by the digests of its pictures."""
    pictures = [png(1), png(2)]
    (shard,) = packed(pictures).shards.values()
    write_blob(store, f"{store.path}/second.arrow", shard.whole())
    with pa.BufferOutputStream() as sink:
        with pa.ipc.new_file(sink, pa.schema([("picture", pa.large_binary())])) as writer:
            writer.write_batch(pa.record_batch([pa.array(pictures, pa.large_binary())], names=["picture"]))
        write_blob(store, f"{store.path}/first.arrow", sink.getvalue().to_pybytes())
    ids = [picture_digest(data) for data in pictures]
    assert held(store, f"{store.path}/second.arrow") == held(store, f"{store.path}/first.arrow") == ids


def test_the_ids_of_a_shard_are_read_without_its_pictures(
    disk: LocalArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that asking every shard of a store costs a thousandth of reading them."""
    data = [bytes([number]) * 1_000_000 for number in range(1, 9)]
    (shard,) = packed(data).shards.values()
    path = Path(disk.path) / "large.arrow"
    path.write_bytes(shard.whole())
    for wanted in shard.rows:
        with path.open("r+b") as file:
            file.seek(wanted.offset)
            file.write(b"\0" * wanted.size)
    read = []

    class Counting(io.FileIO):
        def read(self, size: int | None = -1) -> bytes:
            found = super().read(size)
            read.append(len(found))
            return found

    monkeypatch.setattr(type(disk), "open", lambda _, uri, mode: Counting(uri, mode))
    assert held(disk, str(path)) == [picture_digest(each) for each in data]
    assert sum(read) < 20_000


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.99])
def test_a_shard_that_is_cut_short_is_named(disk: LocalArtifactStore, kept: float) -> None:
    """Nobody can say what it holds."""
    (shard,) = packed([png(1), png(2)]).shards.values()
    data = bytes(shard.whole())
    uri = f"{disk.path}/cut.arrow"
    write_blob(disk, uri, data[: int(kept * len(data)) if kept < 1 else int(kept)])
    with pytest.raises(DamagedArtifact, match=f"{uri} holds: it is damaged .* Remove it"):
        held(disk, uri)


@pytest.mark.parametrize("share", [1, 4], ids=["few of its pictures", "all of them"])
def test_bytes_that_changed_are_named(tmp_path: Path, share: int) -> None:
    """Read one by one or as a whole, a changed picture is an error that names file and digest."""
    pictures = [bytes([number]) * 5000 for number in range(1, 5)]
    (shard,) = packed(pictures).shards.values()
    path = tmp_path / "shard.arrow"
    path.write_bytes(shard.whole())
    wanted = shard.rows[:share]
    file = FileShard(shard.digest, path)
    assert list(file.pictures(wanted)) == pictures[:share]
    with path.open("r+b") as opened:
        opened.seek(wanted[0].offset)
        opened.write(b"\0")
    what = "picture " + wanted[0].image_id[:12] if share == 1 else "the file"
    with pytest.raises(DamagedArtifact, match=f"Shard {path} is damaged: {what} has digest .* Remove it."):
        list(file.pictures(wanted))
    with pytest.raises(DamagedArtifact, match="the file has digest"):
        list(file.pieces())
    assert next(iter(file.pictures(wanted, verify=False)))[1:] == pictures[0][1:]
