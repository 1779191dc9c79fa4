"""What ZenML knows of the artifacts that lie in the active stack's artifact store."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from materializers.report import Report

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore

PAGE_SIZE = 500
SUPERSEDED = "datasets/superseded/"
"""Below the store's root: an empty file for each shard that a compaction replaced, named by its digest."""


@dataclass(frozen=True)
class KnownArtifact:
    """One artifact version.

    Attributes:
        id: ZenML's.
        name: the artifact's.
        uri: its folder in the store.
        type: its Python class, such as ``materializers.image_dataset.ImageDataset``.
        run_id: the run that made it; None where a person's act did.
    """

    id: UUID
    name: str
    uri: str
    type: str
    run_id: UUID | None = None


def active_store() -> BaseArtifactStore:
    """The artifact store of the active stack."""
    from zenml.client import Client

    return Client().active_stack.artifact_store


def recorded_digest(artifact: KnownArtifact) -> str | None:
    """The digest that ZenML recorded of an artifact when it was stored; None where it has none."""
    from zenml.client import Client

    digest = Client().get_artifact_version(artifact.id).run_metadata.get("digest")
    return None if digest is None else str(digest)


def known_artifacts() -> list[KnownArtifact]:
    """Every artifact version in the active artifact store, the oldest first."""
    from zenml.client import Client

    client = Client()
    found: list[KnownArtifact] = []
    number, pages = 1, 1
    while number <= pages:
        page = client.list_artifact_versions(
            artifact_store_id=client.active_stack.artifact_store.id,
            sort_by="asc:created",
            page=number,
            size=PAGE_SIZE,
        )
        found += [_known(artifact) for artifact in page.items]
        number, pages = number + 1, page.total_pages
    return found


def how_to_forget(artifact: KnownArtifact) -> str:
    """How one has ZenML forget an artifact, which it does not while a run uses it."""
    from zenml.client import Client

    client, users = Client(), list[str]()
    number, pages = 1, 1
    while number <= pages:
        page = client.list_pipeline_runs(sort_by="desc:created", page=number, size=PAGE_SIZE)
        users += [
            run.name
            for run in page.items
            if client.list_artifact_versions(id=artifact.id, pipeline_run=run.id, size=1).items
        ]
        number, pages = number + 1, page.total_pages
    first = " && ".join(f"zenml pipeline runs delete {name} -y" for name in users)
    if first:
        first = f"the runs that use it (what they registered cannot be released any more), {first}, then it: "
    return f"Have ZenML forget {first}zenml artifact version delete {artifact.id} -y"


def of_type(artifacts: list[KnownArtifact], kind: type) -> list[KnownArtifact]:
    """The artifacts of one Python class."""
    wanted = f"{kind.__module__}.{kind.__qualname__}"
    return [artifact for artifact in artifacts if artifact.type == wanted]


def reports(artifacts: list[KnownArtifact]) -> list[tuple[KnownArtifact, type[Report]]]:
    """The artifacts that are reports, each with its class."""
    classes: dict[str, type[Report] | None] = {
        name: _report_class(name) for name in {a.type for a in artifacts}
    }
    return [(each, kind) for each in artifacts if (kind := classes[each.type]) is not None]


def _report_class(name: str) -> type[Report] | None:
    """The class of this name; None where it is no report, or no class of this project (any more)."""
    module, _, attribute = name.rpartition(".")
    if not module.startswith("materializers."):
        return None
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ImportError:
        return None
    return found if isinstance(found, type) and issubclass(found, Report) else None


def _known(artifact: Any) -> KnownArtifact:
    return KnownArtifact(
        id=artifact.id,
        name=artifact.name,
        uri=str(artifact.uri).rstrip("/"),
        type=f"{artifact.data_type.module}.{artifact.data_type.attribute}",
        run_id=artifact.producer_pipeline_run_id,
    )
