"""Stores that trainings are written down in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from zenml.artifact_stores import BaseArtifactStore

from tests.materializers.stores import disk_store, s3_store


@pytest.fixture(params=["disk", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BaseArtifactStore]:
    """An empty artifact store, on disk and in a bucket."""
    if request.param == "disk":
        yield disk_store(tmp_path)
        return
    found = s3_store(request.getfixturevalue("bucket_server").endpoint)
    yield found
    found.cleanup()
