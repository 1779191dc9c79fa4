"""Artifact stores on disk and in a bucket of a real S3 server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from zenml.artifact_stores import BaseArtifactStore
from zenml.artifact_stores.local_artifact_store import LocalArtifactStore

from tests.bucket import BucketServer
from tests.materializers.stores import disk_store, s3_store


@pytest.fixture
def disk(tmp_path: Path) -> LocalArtifactStore:
    """An empty artifact store on disk."""
    folder = tmp_path / "store"
    folder.mkdir()
    return disk_store(folder)


@pytest.fixture
def bucket_store(bucket_server: BucketServer) -> Iterator[BaseArtifactStore]:
    """An empty artifact store in a bucket."""
    store = s3_store(bucket_server.endpoint)
    yield store
    store.cleanup()


@pytest.fixture(params=["disk", "bucket_store"])
def store(request: pytest.FixtureRequest) -> BaseArtifactStore:
    """An empty artifact store, on disk and in a bucket."""
    found: BaseArtifactStore = request.getfixturevalue(request.param)
    return found
