"""A blob is there whole or not at all."""

import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from botocore.exceptions import EndpointConnectionError  # type: ignore[import-untyped]
from zenml.artifact_stores import BaseArtifactStore

from benchmarks.main.home import free_port
from materializers.blobs import (
    download_blob,
    list_folder,
    read_blob,
    read_pieces,
    store_errors,
    upload_file,
    write_blob,
    write_file,
)
from materializers.errors import NoRoom, ServiceUnreachable, StoreUnreachable
from tests.materializers.stores import s3_store_at

KILLED_AT_THE_RENAME = """
import os, signal, sys
from pathlib import Path
from materializers.blobs import write_file
def die(event, _):
    if event == "os.rename":
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(die)
write_file(Path(sys.argv[1]), b"later" * 100_000)
"""


def test_a_blob_reads_back_as_it_was_written(store: BaseArtifactStore) -> None:
    """Bytes written below new folders are the bytes read, and a second write replaces them."""
    uri = f"{store.path}/a/b/blob"
    write_blob(store, uri, b"first")
    write_blob(store, uri, b"second")
    with store.open(uri, "rb") as file:
        assert file.read() == b"second"
    assert [Path(str(name)).name for name in store.listdir(f"{store.path}/a/b")] == ["blob"]


def test_a_blob_larger_than_one_upload_is_whole_in_a_bucket(bucket_store: BaseArtifactStore) -> None:
    """A shard is larger than the 50 MB that s3fs sends in one request."""
    data = bytes(range(256)) * (60 * 2**20 // 256)
    write_blob(bucket_store, f"{bucket_store.path}/shard", data)
    with bucket_store.open(f"{bucket_store.path}/shard", "rb") as file:
        assert file.read() == data


def test_a_bucket_that_is_not_there_is_a_store_that_does_not_answer(tmp_path: Path) -> None:
    """As an OSError too, which S3's own exception is not: whoever goes on without the store can."""
    store = s3_store_at("s3://bucket/store", f"http://127.0.0.1:{free_port()}", attempts=1)
    uri, file = f"{store.path}/blob", tmp_path / "blob"
    file.write_bytes(b"blob")
    for act in (
        lambda: read_blob(store, uri),
        lambda: write_blob(store, uri, b"blob"),
        lambda: list_folder(store, store.path),
        lambda: download_blob(store, uri, tmp_path / "copy"),
        lambda: read_pieces(store, [(uri, 0, 1)]),
        lambda: upload_file(store, file, uri),
    ):
        with pytest.raises(ServiceUnreachable, match="does not answer: Could not connect") as raised:
            act()
        assert isinstance(raised.value, OSError)


def test_a_writer_killed_before_the_rename_leaves_the_previous_bytes(tmp_path: Path) -> None:
    """After kill -9 in the middle of a write the file has the bytes that it had."""
    path = tmp_path / "state.json"
    write_file(path, b"earlier")
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AT_THE_RENAME, str(path)], check=False, capture_output=True, timeout=120
    )
    assert done.returncode == -9, done.stderr
    assert path.read_bytes() == b"earlier"
    write_file(path, b"again")
    assert path.read_bytes() == b"again"


def test_a_full_disk_leaves_the_previous_bytes_and_no_rest(tmp_path: Path) -> None:
    """A write that the system refuses raises, and neither changes the file nor leaves a temporary one."""
    path = tmp_path / "state.json"
    write_file(path, b"earlier")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    try:
        with pytest.raises(
            NoRoom, match=f"{tmp_path} takes no more: state.json could not be written .*File too"
        ):
            write_file(path, b"x" * 2**21)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    """While a file is replaced again and again, each read gives one of its two contents, whole."""
    path = tmp_path / "state.json"
    contents = (b"a" * 2**20, b"b" * 2**20)
    write_file(path, contents[0])
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for content in contents:
                write_file(path, content)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = {path.read_bytes() for _ in range(300)}
    finally:
        stop.set()
        writer.join()
    assert seen <= set(contents)


def test_a_store_that_fails_is_a_service_that_does_not_answer() -> None:
    """Exit code 4, and what could not be done."""
    with pytest.raises(ServiceUnreachable, match="could not compact: disk full"), store_errors("compact"):
        raise OSError("disk full")


def test_a_bucket_that_is_not_there_is_one_too() -> None:
    """Whatever asks it, in one sentence; an error of the program stays what it is."""
    away = EndpointConnectionError(endpoint_url="http://store.example")
    for raised in (away, StoreUnreachable("twice said")):
        raised.__cause__ = away
        with pytest.raises(ServiceUnreachable) as refused, store_errors("compact"):
            raise raised
        assert str(refused.value).startswith(f"The artifact store could not compact: {away}. Run the same")
    with pytest.raises(KeyError), store_errors("compact"):
        raise KeyError("a fault")
