"""Artifact stores of ZenML's own classes, made without a ZenML store to register them in."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from zenml.artifact_stores import BaseArtifactStore
from zenml.artifact_stores.local_artifact_store import LocalArtifactStore, LocalArtifactStoreConfig
from zenml.enums import StackComponentType

from tests.bucket import BUCKET, KEY, SECRET


def component(flavor: str) -> dict[str, Any]:
    """What ZenML asks of every artifact store besides its configuration."""
    now = datetime.now(UTC)
    return {
        "name": flavor,
        "id": uuid4(),
        "flavor": flavor,
        "type": StackComponentType.ARTIFACT_STORE,
        "user": uuid4(),
        "created": now,
        "updated": now,
    }


def disk_store(folder: Path) -> LocalArtifactStore:
    """An artifact store in a folder."""
    return LocalArtifactStore(config=LocalArtifactStoreConfig(path=str(folder)), **component("local"))


def s3_store(endpoint: str, *, secret: str = SECRET) -> BaseArtifactStore:
    """An empty artifact store in the tests' bucket."""
    return s3_store_at(f"s3://{BUCKET}/store-{uuid4().hex}", endpoint, secret=secret)


def s3_store_at(path: str, endpoint: str, *, secret: str = SECRET, attempts: int = 5) -> BaseArtifactStore:
    """An artifact store at an address of the tests' bucket.

    Args:
        path: its address.
        endpoint: of the server.
        secret: of the key.
        attempts: how often a request is tried.
    """
    from zenml.integrations.s3.artifact_stores import S3ArtifactStore
    from zenml.integrations.s3.flavors.s3_artifact_store_flavor import S3ArtifactStoreConfig

    config = S3ArtifactStoreConfig(
        path=path,
        key=KEY,
        secret=secret,
        client_kwargs={"endpoint_url": endpoint, "region_name": "us-east-1"},
        config_kwargs={"s3": {"addressing_style": "path"}, "retries": {"total_max_attempts": attempts}},
    )
    return S3ArtifactStore(config=config, **component("s3"))
