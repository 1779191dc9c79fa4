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
    from zenml.integrations.s3.artifact_stores import S3ArtifactStore
    from zenml.integrations.s3.flavors.s3_artifact_store_flavor import S3ArtifactStoreConfig

    config = S3ArtifactStoreConfig(
        path=f"s3://{BUCKET}/store-{uuid4().hex}",
        key=KEY,
        secret=secret,
        client_kwargs={"endpoint_url": endpoint, "region_name": "us-east-1"},
        config_kwargs={"s3": {"addressing_style": "path"}},
    )
    return S3ArtifactStore(config=config, **component("s3"))
