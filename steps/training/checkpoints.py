"""Where a training is written down while it goes on, so that a killed one goes on from there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore

CHECKPOINTS = "checkpoints"
"""Below a store's root."""


@dataclass(frozen=True)
class PhaseCheckpoints:
    """Those of one phase of a training, which is one call of ``fit``.

    Attributes:
        store: where they lie.
        uri: the folder.
    """

    store: BaseArtifactStore
    uri: str


@dataclass(frozen=True)
class Checkpoints:
    """Those of one training.

    Attributes:
        store: where they lie.
        key: digest of everything that the weights depend on: data, splits, settings and code.
    """

    store: BaseArtifactStore
    key: str

    @property
    def uri(self) -> str:
        """Their folder."""
        return f"{str(self.store.path).rstrip('/')}/{CHECKPOINTS}/{self.key}"

    def phase(self, name: str) -> PhaseCheckpoints:
        """Those of the phase of this name."""
        return PhaseCheckpoints(self.store, f"{self.uri}/{name}")

    def remove(self) -> None:
        """Remove them all, once the training is over and its model stored.

        Raises:
            OSError: they cannot be removed.
        """
        if self.store.exists(self.uri):
            self.store.rmtree(self.uri)
