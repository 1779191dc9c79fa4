"""Files are walked, read in pieces and removed alike on disk and in a bucket."""

from datetime import UTC, datetime, timedelta

from zenml.artifact_stores import BaseArtifactStore

from materializers import store_files
from materializers.blobs import read_blob, write_blob
from materializers.store_files import (
    read_overlapping,
    relative,
    remove_file,
    stored_file,
    walk_files,
)


def test_every_file_is_found_with_its_size_and_time(store: BaseArtifactStore) -> None:
    """In all folders, whatever another process wrote since the last look."""
    for name in ("a/1", "a/b/2", "c/3"):
        write_blob(store, f"{store.path}/{name}", name.encode() * 10)
    found = {relative(store, file.uri): file for file in walk_files(store, str(store.path))}
    assert {name: file.size for name, file in found.items()} == {"a/1": 30, "a/b/2": 50, "c/3": 30}
    for file in found.values():
        assert abs(datetime.now(UTC) - file.changed) < timedelta(minutes=5)
    write_blob(store, f"{store.path}/a/4", b"later")
    assert {relative(store, file.uri) for file in walk_files(store, f"{store.path}/a")} == {
        "a/1",
        "a/4",
        "a/b/2",
    }


def test_a_folder_that_is_not_there_has_no_files(store: BaseArtifactStore) -> None:
    """As a store without a quarantine has."""
    assert list(walk_files(store, f"{store.path}/nowhere")) == []
    assert stored_file(store, f"{store.path}/nowhere") is None


def test_what_is_removed_is_gone_and_removed_once(store: BaseArtifactStore) -> None:
    """Who removes it again hears that there was nothing."""
    uri = f"{store.path}/file"
    write_blob(store, uri, b"bytes")
    assert read_blob(store, uri) == b"bytes"
    assert remove_file(store, uri)
    store_files.forget_listings(store, str(store.path))
    assert not store.exists(uri)
    assert stored_file(store, uri) is None


def test_pieces_overlap(store: BaseArtifactStore, monkeypatch: object) -> None:
    """What lies across the border of two pieces lies whole in the second one."""
    uri = f"{store.path}/file"
    data = bytes(range(256)) * 100
    write_blob(store, uri, data)
    store_files.PIECE_BYTES, before = 1000, store_files.PIECE_BYTES
    try:
        pieces = list(read_overlapping(store, uri, overlap=63))
    finally:
        store_files.PIECE_BYTES = before
    assert pieces[0] + b"".join(piece[63:] for piece in pieces[1:]) == data
    assert len(pieces) == 26
