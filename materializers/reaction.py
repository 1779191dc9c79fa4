"""What followed from a drop of the live model's accuracy: nothing, a proposal, or the release before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from materializers.release import Environment
from materializers.report import Report

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType

Policy: TypeAlias = Literal["off", "ask", "automatic"]
"""``off``: people are told of the drop alone. ``ask``: they are asked to roll back. ``automatic``: it is
done."""
ReactionOutcome: TypeAlias = Literal[
    "nothing", "unconfirmed", "told", "proposed", "rolled_back", "not_possible"
]
"""``nothing``: there is no drop, or not of what is live. ``unconfirmed``: the drop stands alone so far.
``told``: it is confirmed, and nothing else is wanted. ``not_possible``: what was live before may not be put
back, so that what is live stays."""


class Reaction(Report):
    """What monitoring did about the version that it looked at, and why."""

    template: ClassVar[str] = "reaction.html"

    outcome: ReactionOutcome
    policy: Policy
    model_name: str
    environment: Environment
    version: int
    """That was looked at."""
    model_digest: str
    to_version: int | None = None
    """What is live in its place, or would be."""
    evidence: tuple[str, ...]
    """Digests of the reports on windows that it goes by, the newest first."""
    reasons: tuple[str, ...]

    def headline(self) -> dict[str, MetadataType]:
        """Outcome and reasons."""
        return {"outcome": self.outcome, "reasons": list(self.reasons)}
