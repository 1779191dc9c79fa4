"""A version tested end to end in staging: right answers, refused nonsense, load; production asks for it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Literal

from materializers.report import Record, Report
from materializers.verdict import Outcome

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType


class Exchange(Record):
    """One kind of request that was sent, and what came back."""

    sent: str
    """In words."""
    expected: str
    answered: str
    requests: int = 1
    outcome: Literal["passed", "refused"]

    def sentence(self) -> str:
        """What was sent and what came of it."""
        return f"{self.sent}: expected {self.expected}, answered {self.answered}"


class EndToEnd(Report):
    """What the release of one version, with exactly this model, answered by its URL in staging."""

    template: ClassVar[str] = "end_to_end.html"

    model_name: str
    version: int
    model: str
    """Digest of the model directory."""
    environment: str
    url: str
    at: datetime
    exchanges: tuple[Exchange, ...]
    load: Outcome | None = None
    """What the load test came to; None where none was asked for."""
    load_test: str | None = None
    """Digest of its report."""
    load_reasons: tuple[str, ...] = ()

    @property
    def outcome(self) -> Literal["passed", "refused"]:
        """``passed`` where every exchange did, and the load test where there was one."""
        failed = [exchange for exchange in self.exchanges if exchange.outcome != "passed"]
        passed = self.exchanges and not failed and self.load in (None, "passed")
        return "passed" if passed else "refused"

    def reasons(self) -> list[str]:
        """A sentence for each exchange that did not pass, and those of the load."""
        failed = [exchange.sentence() for exchange in self.exchanges if exchange.outcome != "passed"]
        return [*failed, *(f"under load: {reason}" for reason in self.load_reasons)]

    def headline(self) -> dict[str, MetadataType]:
        """The version, the outcome and what did not hold."""
        return {"version": self.version, "outcome": self.outcome, "reasons": self.reasons()}
