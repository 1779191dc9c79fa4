"""Data difference: the page of one comparison of two dataset versions, in a run of its own."""

from __future__ import annotations

from uuid import UUID

from zenml import pipeline
from zenml.client import Client

from steps.data.show import show


@pipeline(name="data_diff")
def data_diff(artifact: UUID) -> None:
    """Show what one version changed against another."""
    show(Client().get_artifact_version(artifact))
