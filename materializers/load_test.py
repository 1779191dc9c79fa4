"""A staging release under load: the rules of serving, judged on what really answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from materializers.evaluation.cost import Cost
from materializers.verdict import JudgedReport

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType


class LoadTest(JudgedReport):
    """What a release came to under the load that the policy asks for."""

    template: ClassVar[str] = "load_test.html"

    model_name: str
    version: int
    model: str
    """Digest of the model directory."""
    environment: str
    url: str
    cost: Cost

    def headline(self) -> dict[str, MetadataType]:
        """The version, the outcome and what did not hold."""
        return {"version": self.version, **super().headline()}
