"""A real S3 server on loopback: one for all tests of a session."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.remote.bucket_server import s3_client, s3_environment, s3_server

KEY, SECRET, BUCKET = "shutterline", "a-secret-of-the-tests", "deliveries"


@dataclass(frozen=True)
class BucketServer:
    """A running server with one bucket."""

    endpoint: str
    client: Any

    def upload(self, folder: Path, prefix: str) -> str:
        """Put every file of a folder below a prefix, and give the delivery's address."""
        for path in folder.rglob("*"):
            if path.is_file():
                key = f"{prefix}/{path.relative_to(folder)}"
                self.client.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes())
        return f"s3://{BUCKET}/{prefix}"


@pytest.fixture(scope="session")
def bucket_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BucketServer]:
    """SeaweedFS on loopback; it takes one key, and refuses every other."""
    server = s3_server(tmp_path_factory.mktemp("seaweed"), key=KEY, secret=SECRET)
    server.start()
    try:
        server.wait()
        client = s3_client(server.url, key=KEY, secret=SECRET)
        client.create_bucket(Bucket=BUCKET)
        yield BucketServer(server.url, client)
    finally:
        server.kill()


@pytest.fixture
def bucket(bucket_server: BucketServer, monkeypatch: pytest.MonkeyPatch) -> BucketServer:
    """The server, with its address and key in the environment, as a user has them."""
    for name, value in s3_environment(bucket_server.endpoint, key=KEY, secret=SECRET).items():
        monkeypatch.setenv(name, value)
    return bucket_server
