"""Tests of steps/data/bucket.py, against a real S3 server."""

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from benchmarks.main.home import free_port
from materializers.errors import ServiceUnreachable, UsageError
from steps.data import bucket as buckets
from steps.data.bucket import S3Source
from steps.data.files import SourceLimits, Unreadable
from steps.data.intake import IngestSettings, read_delivery
from tests.bucket import BUCKET, BucketServer
from tests.steps.data.deliveries import (
    LIMITS,
    good_delivery,
    opened,
    photograph,
    screened,
    sorted_into_folders,
    zipped,
)


def test_a_delivery_in_a_bucket_has_the_version_of_its_folder(bucket: BucketServer, tmp_path: Path) -> None:
    """The same pictures and labels have one version wherever they lie."""
    folder = good_delivery(tmp_path / "folder", per_class=10)
    dataset, screening = screened(bucket.upload(folder, "good/2026-11"))
    assert dataset.version == screened(folder)[0].version
    assert screening.rows == 30
    assert screening.set_aside == ()


def test_the_pictures_below_a_prefix_are_listed(bucket: BucketServer, tmp_path: Path) -> None:
    """A prefix that only begins alike is another delivery."""
    address = bucket.upload(good_delivery(tmp_path / "folder", per_class=1), "listed")
    bucket.upload(tmp_path / "folder", "listed-too")
    with opened(address) as source:
        assert source.pictures() == [f"images/{number:05d}.png" for number in range(3)]
    with pytest.raises(ServiceUnreachable):
        opened("s3://no-such-bucket/x")


def test_an_object_that_is_not_there_is_one_missing_picture(bucket: BucketServer, tmp_path: Path) -> None:
    """The rest of the delivery is read."""
    folder = good_delivery(tmp_path / "folder", per_class=2)
    (folder / "images/00003.png").unlink()
    dataset, screening = screened(bucket.upload(folder, "missing"))
    assert [(each.path, each.reason) for each in screening.set_aside] == [("images/00003.png", "missing")]
    assert len(dataset) == 5


def test_an_object_over_the_limit_is_set_aside(bucket: BucketServer, tmp_path: Path) -> None:
    """The size that the server declares is enough to refuse it."""
    address = bucket.upload(good_delivery(tmp_path / "folder", per_class=1), "large")
    with opened(address, SourceLimits(picture_bytes=10, labels_bytes=10_000)) as source:
        assert source.rows()
        with pytest.raises(Unreadable, match="the limit is 10"):
            source.read("images/00000.png")


def test_a_prefix_without_labels_is_wrong_use(bucket: BucketServer) -> None:
    """A mistyped prefix is the user's to mend, not a fault of the service."""
    with opened(f"s3://{BUCKET}/nothing/here") as source, pytest.raises(UsageError, match=r"labels\.csv"):
        source.rows()


def test_an_address_without_a_bucket_is_wrong_use() -> None:
    """s3:// alone names nothing."""
    with pytest.raises(UsageError, match="names no bucket"):
        opened("s3://")


def test_a_wrong_secret_is_a_service_that_cannot_be_read(
    bucket: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server refuses, and the message names the variables to look at but no secret."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    with pytest.raises(ServiceUnreachable) as error:
        opened(f"s3://{BUCKET}/good")
    assert error.value.exit_code == 4
    assert "AWS_SECRET_ACCESS_KEY" in str(error.value)
    assert "not-the-secret" not in str(error.value)


@pytest.mark.parametrize("absent", ["both", "the secret"])
def test_absent_credentials_are_wrong_use(
    bucket: BucketServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, absent: str
) -> None:
    """Trying again brings none, so it is no fault; the message names the variables."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")[absent == "the secret" :]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(UsageError, match="AWS_SECRET_ACCESS_KEY"):
        opened(f"s3://{BUCKET}/good")


def test_a_bucket_that_does_not_exist_cannot_be_read(bucket: BucketServer) -> None:
    """The bucket's name is in the message."""
    with pytest.raises(ServiceUnreachable, match="no-such-bucket"):
        opened("s3://no-such-bucket/x")


def test_a_server_that_does_not_answer_cannot_be_read(
    bucket: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing listens: exit 4, within seconds."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ServiceUnreachable, match="AWS_ENDPOINT_URL"):
        opened(f"s3://{BUCKET}/x")


class Answers(BaseHTTPRequestHandler):
    """Answers every GET with one picture; what goes wrong before is up to who inherits."""

    answered: Iterator[int]
    picture = photograph(1)

    def do_HEAD(self) -> None:
        """Every object is there."""
        self.answer(200, self.picture, 0)

    def do_GET(self) -> None:
        """Send the object."""
        self.answer(200, self.picture)

    def answer(self, status: int, data: bytes, sent: int | None = None) -> None:
        """Announce some bytes, and send them or the first of them."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", '"one"')
        self.end_headers()
        self.wfile.write(data[:sent])

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class PatientServer(ThreadingHTTPServer):
    """Lets more than five connections wait to be accepted."""

    request_queue_size = 64


@contextmanager
def serving(handler: type[Answers], monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Source]:
    """A delivery on a server of that kind, and 16 connections to it."""
    handler.answered = itertools.count()
    with PatientServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        with S3Source("s3://bucket/x", LIMITS, connections=16) as source:
            assert isinstance(source, S3Source)
            yield source
        server.shutdown()


class BreaksOff(Answers):
    """Sends half of what it announces, the first time."""

    def do_GET(self) -> None:
        """Send the object, or half of it."""
        self.answer(200, self.picture, len(self.picture) // 2 if next(self.answered) == 0 else None)


def test_a_connection_that_breaks_off_is_tried_again(
    bucket: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a picture is never taken for the whole."""
    with serving(BreaksOff, monkeypatch) as source:
        assert source.read("a.png") == BreaksOff.picture
        assert next(BreaksOff.answered) == 2


class RefusesHalf(Answers):
    """Is too busy for every second request, and says so in one of the two ways that servers have."""

    def do_GET(self) -> None:
        """Send the object, or an excuse."""
        number = next(self.answered)
        if number % 2:
            self.answer(200, self.picture)
        elif number % 4:
            self.answer(500, b"<Error><Code>InternalError</Code></Error>")
        else:
            self.answer(503, b"<Error><Code>SlowDown</Code></Error>")


def test_a_server_that_refuses_half_of_the_requests_is_read_to_the_end(
    bucket: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hundreds of refusals in a row of objects, which would end botocore's own patience."""
    with serving(RefusesHalf, monkeypatch) as source, ThreadPoolExecutor(16) as pool:
        found = list(pool.map(source.read, [f"{number}.png" for number in range(600)]))
        assert found == [RefusesHalf.picture] * 600
        assert next(RefusesHalf.answered) >= 1_200


class RefusesAll(Answers):
    """Is always too busy."""

    def do_GET(self) -> None:
        """Send an excuse."""
        next(self.answered)
        self.answer(503, b"<Error><Code>SlowDown</Code></Error>")


def test_a_server_that_refuses_for_too_long_cannot_be_read(
    bucket: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Patience ends: exit 4, with what the server said."""
    monkeypatch.setattr(buckets, "PATIENCE_S", 0.5)
    with serving(RefusesAll, monkeypatch) as source:
        with pytest.raises(ServiceUnreachable, match="SlowDown"):
            source.read("a.png")
        assert next(RefusesAll.answered) > 2


class AnswersSixteen(Answers):
    """Answers no picture before sixteen are asked for."""

    together = threading.Barrier(16, timeout=30)

    def do_GET(self) -> None:
        """Send the object when there are enough."""
        if self.path.endswith("labels.csv"):
            rows = "".join(f"{number}.png,books\n" for number in range(64))
            self.answer(200, f"image_path,label\n{rows}".encode())
        else:
            self.together.wait()
            self.answer(200, self.picture)


def test_as_many_objects_are_asked_for_at_a_time_as_there_are_connections(
    bucket: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting for a bucket costs more than decoding, and the threads of decoding do not limit it."""
    monkeypatch.setattr(S3Source, "check_unchanged", lambda _: None)  # this server lists nothing
    with serving(AnswersSixteen, monkeypatch) as source:
        read = read_delivery(source, "shop", IngestSettings(threads=1, connections=16))
    assert (read.screening.rows, len(read.dataset), read.screening.set_aside) == (64, 1, ())


@pytest.mark.parametrize("folders", [1, 3, 1100])
def test_thousands_of_objects_are_listed(bucket: BucketServer, folders: int) -> None:
    """More than one page, in one folder, in some and in more folders than a page holds."""
    prefix = f"many-{folders}"
    keys = [f"{number % folders}/{number}.png" for number in range(1_100)]
    with ThreadPoolExecutor(16) as pool:
        list(
            pool.map(
                lambda key: bucket.client.put_object(Bucket=BUCKET, Key=f"{prefix}/{key}", Body=b"x"), keys
            )
        )
    with opened(f"s3://{BUCKET}/{prefix}") as source:
        assert source.pictures() == sorted(keys)
        assert len(source.rows().rows) == 1_100
        source.check_unchanged()


LABELS = b"image_path,label\nbooks/00001.png,toys\n"


@pytest.mark.parametrize(
    ("key", "data"),
    [
        ("labels.csv", LABELS),
        ("books/00001.png", b"another"),
        ("books/00001.png", None),
        ("books/9.png", b"late"),
    ],
)
def test_a_delivery_that_changed_in_the_bucket_is_refused_as_a_whole(
    bucket: BucketServer, tmp_path: Path, key: str, data: bytes | None
) -> None:
    """labels.csv, a picture that was read or missed, told by their ETags; other objects do not count."""
    folder = sorted_into_folders(tmp_path / "folder")
    (folder / "labels.csv").write_text("image_path,label\nbooks/00001.png,books\nbooks/9.png,books\n")
    address = bucket.upload(folder, "changing")
    bucket.client.delete_object(Bucket=BUCKET, Key="changing/books/9.png")
    with opened(address) as source:
        for row in source.rows().rows:
            try:
                source.read(str(row.image_path))
            except Unreadable:
                assert row.image_path == "books/9.png"
        bucket.client.put_object(Bucket=BUCKET, Key="changing/toys/of-somebody-else.png", Body=b"x")
        source.check_unchanged()
        if data is None:
            bucket.client.delete_object(Bucket=BUCKET, Key=f"changing/{key}")
        else:
            bucket.client.put_object(Bucket=BUCKET, Key=f"changing/{key}", Body=data)
        with pytest.raises(UsageError, match=f"{key} changed while it was read") as error:
            source.check_unchanged()
        assert error.value.exit_code == 2


def test_class_folders_that_change_in_the_bucket_are_refused(bucket: BucketServer, tmp_path: Path) -> None:
    """A picture that is not what the listing said is not even read; one more is seen at the end."""
    address = bucket.upload(sorted_into_folders(tmp_path / "folder"), "changing-folders")
    with opened(address) as source:
        source.rows()
        source.check_unchanged()
        bucket.client.put_object(Bucket=BUCKET, Key="changing-folders/books/00001.png", Body=b"another")
        with pytest.raises(UsageError, match="changed while it was read"):
            source.read("books/00001.png")
    with opened(address) as source:
        source.rows()
        bucket.client.put_object(Bucket=BUCKET, Key="changing-folders/books/new.png", Body=b"x")
        with pytest.raises(UsageError, match=r"books/new\.png changed while it was read"):
            source.check_unchanged()


def denied(**_: object) -> None:
    """Answer as a bucket does that may be read and not listed."""
    answer = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    raise ClientError(answer, "ListObjectsV2")


def test_where_listing_is_not_allowed_labels_csv_is_asked_for(bucket: BucketServer, tmp_path: Path) -> None:
    """The delivery can be read, and the file that says which pictures there are be compared."""
    address = bucket.upload(good_delivery(tmp_path / "folder", per_class=1), "unlisted")
    with S3Source(address, LIMITS, connections=4) as source:
        assert isinstance(source, S3Source)
        source.client.list_objects_v2 = denied
        for row in source.rows().rows:
            source.read(str(row.image_path))
        source.check_unchanged()
        bucket.client.put_object(Bucket=BUCKET, Key="unlisted/labels.csv", Body=LABELS)
        with pytest.raises(UsageError, match=r"labels\.csv changed"):
            source.check_unchanged()


def test_an_archive_is_copied_in_parts(
    bucket: BucketServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the same time, each to its place."""
    monkeypatch.setattr(buckets, "PART", 1_000)
    folder = good_delivery(tmp_path / "folder", per_class=10)
    archive = zipped(folder, tmp_path / "up" / "delivery.zip")
    assert archive.stat().st_size > 5_000
    address = bucket.upload(archive.parent, "in-parts")
    assert screened(f"{address}/delivery.zip")[0].version == screened(folder)[0].version
    with pytest.raises(UsageError, match=r"There is no s3://.*/other\.zip"):
        opened(f"{address}/other.zip")


def test_an_archive_that_changes_while_it_is_copied_is_refused(
    bucket: BucketServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first half of one and the second half of another are no archive, and are not tried as one."""
    monkeypatch.setattr(buckets, "PART", 1_000)
    archive = zipped(good_delivery(tmp_path / "folder", per_class=10), tmp_path / "up" / "delivery.zip")
    address = bucket.upload(archive.parent, "swapped")
    read_range: Callable[..., bytes] = S3Source.read_range

    def swapped(self: S3Source, path: str, start: int, *rest: object) -> bytes:
        if start == 2_000:
            bucket.client.put_object(Bucket=BUCKET, Key="swapped/delivery.zip", Body=bytes(10_000))
        return read_range(self, path, start, *rest)

    monkeypatch.setattr(S3Source, "read_range", swapped)
    with pytest.raises(UsageError, match=r"delivery\.zip changed while it was read"):
        opened(f"{address}/delivery.zip")
