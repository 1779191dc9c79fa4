"""A real S3 server: SeaweedFS on loopback, which takes one key and refuses every other."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.main.home import free_port
from tests.remote.servers import ADDRESS, Server, base_environment

REGION = "us-east-1"
COMPONENTS = ("s3", "master", "volume", "filer", "admin")
PORTS = 2 * len(COMPONENTS)
"""Each component listens on one for HTTP and on one for gRPC; the first is S3's."""


def s3_client(endpoint: str, *, key: str, secret: str) -> Any:
    """A client that does not wait for a server that is not there."""
    import boto3
    from botocore.config import Config  # type: ignore[import-untyped]

    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(retries={"max_attempts": 0}, connect_timeout=1, s3={"addressing_style": "path"}),
    )


def s3_environment(endpoint: str, *, key: str, secret: str) -> Mapping[str, str]:
    """The variables by which boto3 finds the server."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_REGION": REGION,
    }


def s3_server(folder: Path, *, key: str, secret: str, ports: Sequence[int] = ()) -> Server:
    """SeaweedFS with its data below ``folder``; ``kill()`` and ``start()`` keep data and ports.

    Args:
        folder: its data and log.
        key: the access key that it takes.
        secret: of that key.
        ports: :data:`PORTS` of them; free ones where none are given.
    """
    own = list(ports) or [free_port() for _ in range(PORTS)]
    names = [name for part in COMPONENTS for name in (f"{part}.port", f"{part}.port.grpc")]
    endpoint = f"http://{ADDRESS}:{own[0]}"
    command = [
        str(Path(sys.executable).parent / "weed"),
        "mini",
        f"-dir={folder}",
        f"-ip={ADDRESS}",
        f"-ip.bind={ADDRESS}",
        "-admin.ui=false",
        "-webdav=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.localSocket={folder}/s3.sock",
        *(f"-{name}={port}" for name, port in zip(names, own, strict=True)),
    ]
    environment = base_environment(folder) | {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
    client = s3_client(endpoint, key=key, secret=secret)

    def ready() -> bool:
        from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

        try:
            client.list_buckets()
        except (BotoCoreError, ClientError):
            return False
        return True

    # On SIGTERM it takes 12 s.
    return Server("SeaweedFS", folder, endpoint, command, environment, ready, patience_s=0)
