"""Stored datasets that came long ago, as far as ZenML's own record says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zenml.client import Client


def let_age(client: Client, version: str, days: float) -> datetime:
    """Let every artifact of a dataset's version be as many days old as given; the time that it has then."""
    from sqlalchemy import text

    store: Any = client.zen_store
    created = (datetime.now(UTC) - timedelta(days=days)).replace(microsecond=0)
    found = client.list_artifact_versions(artifact="dataset", run_metadata=f'digest:equals:"{version}"')
    assert found.items
    with store.engine.begin() as database:
        for artifact in found.items:
            database.execute(
                text("UPDATE artifact_version SET created = :created WHERE id = :id"),
                {"created": f"{created:%Y-%m-%d %H:%M:%S.%f}", "id": artifact.id.hex},
            )
    return created
