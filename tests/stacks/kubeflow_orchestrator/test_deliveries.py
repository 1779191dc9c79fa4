"""A delivery of this machine is brought to the artifact store, once, and is the same delivery there."""

from __future__ import annotations

import gc
import io
from pathlib import Path

import pytest

from materializers.blobs import _upload
from materializers.errors import ServiceUnreachable, UsageError
from stacks.kubeflow_orchestrator.deliveries import bring
from tests.bucket import BucketServer
from tests.materializers.stores import s3_store
from tests.steps.data.deliveries import good_delivery, screened, zipped


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_a_delivery_has_its_version_where_it_was_brought(
    bucket: BucketServer, tmp_path: Path, kind: str
) -> None:
    """Steps that read it from the bucket find the same pictures and labels."""
    folder = good_delivery(tmp_path / "folder", per_class=2)
    source = folder if kind == "folder" else zipped(folder, tmp_path / "delivery.zip")
    store = s3_store(bucket.endpoint)
    address = bring(str(source), store)
    assert address.startswith(f"{store.path}/deliveries/")
    assert screened(address)[0].version == screened(folder)[0].version


def test_the_same_delivery_is_uploaded_once(bucket: BucketServer, tmp_path: Path) -> None:
    """Its address is named by its content, wherever and whenever it was written."""
    store = s3_store(bucket.endpoint)
    first = bring(str(good_delivery(tmp_path / "first", per_class=1)), store)
    (uploaded,) = store.listdir(f"{store.path}/deliveries")
    written = store.stat(first)["LastModified"]
    assert bring(str(good_delivery(tmp_path / "second", per_class=1)), store) == first
    assert store.listdir(f"{store.path}/deliveries") == [uploaded]
    assert store.stat(first)["LastModified"] == written


def test_what_lies_elsewhere_stays_there(bucket: BucketServer) -> None:
    """An address of a bucket is given on as it is."""
    assert bring("s3://other/prefix", s3_store(bucket.endpoint)) == "s3://other/prefix"


def test_a_folder_of_this_machine_cannot_be_watched_by_steps_elsewhere(
    bucket: BucketServer, tmp_path: Path
) -> None:
    """What lies in it now could be copied, but nothing that comes later; a place in a bucket is given on."""
    with pytest.raises(UsageError, match=r"--source 's3://bucket/prefix/\*'"):
        bring(f"{tmp_path}/*", s3_store(bucket.endpoint))
    assert bring("s3://other/incoming/*", s3_store(bucket.endpoint)) == "s3://other/incoming/*"


def test_a_store_that_refuses_is_said_as_such(bucket: BucketServer, tmp_path: Path) -> None:
    """With what to look at, and without the credentials."""
    store = s3_store(bucket.endpoint, secret="wrong")
    with pytest.raises(ServiceUnreachable, match=r"cannot be uploaded to s3://.*--check"):
        bring(str(good_delivery(tmp_path / "folder", per_class=1)), store)


def test_an_archive_that_is_not_in_the_bucket_is_wrong_use(bucket: BucketServer) -> None:
    """A mistyped address is told before anything is read."""
    with pytest.raises(UsageError, match=r"There is no s3://deliveries/absent\.zip"):
        screened("s3://deliveries/absent.zip")


def test_an_upload_that_is_cut_short_leaves_nothing(bucket: BucketServer) -> None:
    """What is there under a delivery's name is trusted by every later run, so it is whole or not there."""

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            if not data:
                raise OSError("the disk went away")
            return data

    store = s3_store(bucket.endpoint)
    for size in (1000, 60_000_000):  # one request, and an upload of parts
        with pytest.raises(OSError, match="went away"):
            _upload(store, Broken(b"x" * size), f"{store.path}/half-{size}")
        gc.collect()
        assert not store.exists(f"{store.path}/half-{size}")
