"""A real S3 server on loopback: one for all tests of a session."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from benchmarks.main.home import free_port

KEY, SECRET, BUCKET = "shutterline", "a-secret-of-the-tests", "deliveries"
STARTS_WITHIN = 60.0
COMPONENTS = ("master", "volume", "filer", "s3", "admin")


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
    folder = tmp_path_factory.mktemp("seaweed")
    ports = {name: free_port() for part in COMPONENTS for name in (f"{part}.port", f"{part}.port.grpc")}
    address = "127.0.0.1"
    command = [
        str(Path(sys.executable).parent / "weed"),
        "mini",
        f"-dir={folder}",
        f"-ip={address}",
        f"-ip.bind={address}",
        "-admin.ui=false",
        "-webdav=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.localSocket={folder}/s3.sock",
        *(f"-{name}={port}" for name, port in ports.items()),
    ]
    credentials = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "HOME": str(folder)}
    endpoint = f"http://{address}:{ports['s3.port']}"
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        config=Config(retries={"max_attempts": 0}, connect_timeout=1, s3={"addressing_style": "path"}),
    )
    with (folder / "weed.log").open("wb") as log:
        server = subprocess.Popen(
            command, env={**os.environ, **credentials}, stdout=log, stderr=log, cwd=folder
        )
        try:
            _wait(client, server, folder / "weed.log")
            client.create_bucket(Bucket=BUCKET)
            yield BucketServer(endpoint, client)
        finally:
            server.kill()  # on SIGTERM it takes 12 s, and nothing of it is kept
            server.wait()


def _wait(client: Any, server: subprocess.Popen[bytes], log: Path) -> None:
    ends = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < ends and server.poll() is None:
        try:
            client.list_buckets()
        except (BotoCoreError, ClientError):
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"SeaweedFS does not answer: {log.read_text()[-2000:]}")


@pytest.fixture
def bucket(bucket_server: BucketServer, monkeypatch: pytest.MonkeyPatch) -> BucketServer:
    """The server, with its address and key in the environment, as a user has them."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket_server.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return bucket_server
