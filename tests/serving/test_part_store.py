"""Where a shipper puts parts: on disk and in S3, whole or not at all."""

from collections.abc import Callable
from pathlib import Path

import pytest

from serving.part_store import BucketStore, StoreDownError, WrongAddressError, open_store
from tests.bucket import BUCKET, BucketServer


@pytest.mark.parametrize("uri", ["relative/path", "s3://", "gs://bucket/prefix", "file:///somewhere"])
def test_an_address_that_cannot_be_written_is_refused(uri: str) -> None:
    """At once, and named."""
    with pytest.raises(WrongAddressError, match=uri):
        open_store(uri)


def test_a_file_on_disk_is_there_whole_and_nothing_else(tmp_path: Path) -> None:
    """No half-written one beside it; storing it again replaces it."""
    store = open_store(str(tmp_path))
    store.put("captures/a/part.parquet", b"first")
    store.put("captures/a/part.parquet", b"second")
    assert [path.read_bytes() for path in (tmp_path / "captures" / "a").iterdir()] == [b"second"]


def test_a_disk_that_takes_nothing_is_a_store_that_is_down(tmp_path: Path) -> None:
    """The shipper tries again."""
    (tmp_path / "captures").write_text("a file where a folder should be")
    with pytest.raises(StoreDownError):
        open_store(str(tmp_path)).put("captures/part.parquet", b"data")


def test_notes_are_read_once_and_again_when_they_changed(tmp_path: Path) -> None:
    """Of a folder that may not be there; what is half written is none."""
    store = open_store(str(tmp_path))
    assert list(store.read_new("notes")) == []
    store.put("notes/a.json", b"1")
    (tmp_path / "notes" / ".b.json.part").write_bytes(b"half")
    assert list(store.read_new("notes")) == [b"1"]
    assert list(store.read_new("notes")) == []
    store.put("notes/a.json", b"changed")
    store.put("notes/c.json", b"3")
    assert list(store.read_new("notes")) == [b"changed", b"3"]


@pytest.mark.parametrize("prefix", ["", "some/prefix"])
def test_a_bucket_is_written_and_read(bucket: BucketServer, prefix: str) -> None:
    """By the address and keys of the environment."""
    store = open_store(f"s3://{BUCKET}/{prefix}")
    path = "captures/date=2026-11-05/part.parquet"
    store.put(path, b"data")
    key = f"{prefix}/{path}".lstrip("/")
    assert bucket.client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"data"
    store.put("notes/a.json", b"1")
    assert list(store.read_new("notes")) == [b"1"]
    assert list(store.read_new("notes")) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda monkeypatch: monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another"),
        lambda monkeypatch: monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
        lambda monkeypatch: monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9"),
    ],
    ids=["another key", "nothing listens", "nothing listens for S3"],
)
def test_a_bucket_that_takes_nothing_is_a_store_that_is_down(
    bucket: BucketServer, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """A wrong key may be mended like a server that is not there."""
    spoil(monkeypatch)
    store = open_store(f"s3://{BUCKET}")
    with pytest.raises(StoreDownError):
        store.put("part.parquet", b"data")
    with pytest.raises(StoreDownError):
        list(store.read_new("notes"))


def test_a_bucket_is_asked_in_the_region_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """By ``AWS_REGION``, which boto3 itself does not read."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    store = open_store(f"s3://{BUCKET}")
    assert isinstance(store, BucketStore)
    assert store._client.meta.endpoint_url == "https://s3.eu-central-1.amazonaws.com"
