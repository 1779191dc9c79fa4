"""Artifact stores on disk and in a bucket of a real S3 server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from zenml.artifact_stores import BaseArtifactStore
from zenml.artifact_stores.local_artifact_store import LocalArtifactStore

from tests.bucket import BUCKET, KEY, SECRET, BucketServer
from tests.materializers.stores import component, disk_store


@pytest.fixture
def disk(tmp_path: Path) -> LocalArtifactStore:
    """An empty artifact store on disk."""
    folder = tmp_path / "store"
    folder.mkdir()
    return disk_store(folder)


@pytest.fixture
def bucket_store(bucket_server: BucketServer) -> Iterator[BaseArtifactStore]:
    """An empty artifact store in a bucket."""
    from zenml.integrations.s3.artifact_stores import S3ArtifactStore
    from zenml.integrations.s3.flavors.s3_artifact_store_flavor import S3ArtifactStoreConfig

    config = S3ArtifactStoreConfig(
        path=f"s3://{BUCKET}/store-{uuid4().hex}",
        key=KEY,
        secret=SECRET,
        client_kwargs={"endpoint_url": bucket_server.endpoint, "region_name": "us-east-1"},
        config_kwargs={"s3": {"addressing_style": "path"}},
    )
    store = S3ArtifactStore(config=config, **component("s3"))
    yield store
    store.cleanup()


@pytest.fixture(params=["disk", "bucket_store"])
def store(request: pytest.FixtureRequest) -> BaseArtifactStore:
    """An empty artifact store, on disk and in a bucket."""
    found: BaseArtifactStore = request.getfixturevalue(request.param)
    return found
