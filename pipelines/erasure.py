"""Erasure: the proof that pictures are nowhere any more, in a run of its own."""

from __future__ import annotations

from uuid import UUID

from zenml import pipeline
from zenml.client import Client

from steps.data.show import show


@pipeline(name="erasure")
def erasure(artifact: UUID) -> None:
    """Show what was erased, and what the search found."""
    show(Client().get_artifact_version(artifact))
