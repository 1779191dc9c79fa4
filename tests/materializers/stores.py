"""Artifact stores of ZenML's own classes, made without a ZenML store to register them in."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from zenml.artifact_stores.local_artifact_store import LocalArtifactStore, LocalArtifactStoreConfig
from zenml.enums import StackComponentType


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
