"""Tests of steps/data/bucket.py, against a real S3 server."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks.main.home import free_port
from materializers.errors import ServiceUnreachable, UsageError
from steps.data.files import SourceLimits, Unreadable
from tests.bucket import BUCKET, BucketServer
from tests.steps.data.deliveries import good_delivery, opened, screened


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
    with opened("s3://no-such-bucket/x") as source, pytest.raises(ServiceUnreachable):
        source.pictures()


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
        assert source.labels()
        with pytest.raises(Unreadable, match="the limit is 10"):
            source.read("images/00000.png")


def test_a_prefix_without_labels_is_wrong_use(bucket: BucketServer) -> None:
    """A mistyped prefix is the user's to mend, not a fault of the service."""
    with opened(f"s3://{BUCKET}/nothing/here") as source, pytest.raises(UsageError, match=r"labels\.csv"):
        source.labels()


def test_an_address_without_a_bucket_is_wrong_use() -> None:
    """s3:// alone names nothing."""
    with pytest.raises(UsageError, match="names no bucket"):
        opened("s3://")


def test_a_wrong_secret_is_a_service_that_cannot_be_read(
    bucket: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server refuses, and the message names the variables to look at but no secret."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    with opened(f"s3://{BUCKET}/good") as source, pytest.raises(ServiceUnreachable) as error:
        source.labels()
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
        opened(f"s3://{BUCKET}/good").labels()


def test_a_bucket_that_does_not_exist_cannot_be_read(bucket: BucketServer) -> None:
    """The bucket's name is in the message."""
    with opened("s3://no-such-bucket/x") as source, pytest.raises(ServiceUnreachable, match="no-such-bucket"):
        source.labels()


def test_a_server_that_does_not_answer_cannot_be_read(
    bucket: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing listens: exit 4, within seconds."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with opened(f"s3://{BUCKET}/x") as source, pytest.raises(ServiceUnreachable, match="AWS_ENDPOINT_URL"):
        source.labels()


class BreaksOff(BaseHTTPRequestHandler):
    """Answers the first request with half of the body that it announces, and later ones in full."""

    answered = 0

    def do_GET(self) -> None:
        """Send the object, or half of it."""
        kind = type(self)
        kind.answered += 1
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(bytes(500 if kind.answered == 1 else 1000))

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_connection_that_breaks_off_is_tried_again(
    bucket: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a picture is never taken for the whole."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BreaksOff) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        with opened("s3://bucket/x") as source:
            assert len(source.read("a.png")) == 1000
        server.shutdown()
    assert BreaksOff.answered == 2
