"""Show the report of a person's act: ZenML's dashboard opens an artifact only in the graph of a run."""

from __future__ import annotations

from zenml import log_metadata, step
from zenml.artifacts.unmaterialized_artifact import UnmaterializedArtifact


@step(enable_cache=False)
def show(report: UnmaterializedArtifact) -> None:
    """Repeat on the step what the report says first; it is stored already, and is not read."""
    log_metadata(report.run_metadata)
