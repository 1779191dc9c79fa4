"""A staging release under load: the rules of serving, judged on what really answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from materializers.evaluation.cost import Cost
from materializers.report import Report
from materializers.rule_groups import open_rules
from materializers.verdict import Outcome, RuleResult

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType


class LoadTest(Report):
    """What a release came to under the load that the policy asks for."""

    template: ClassVar[str] = "load_test.html"

    model_name: str
    version: int
    model: str
    """Digest of the model directory."""
    environment: str
    url: str
    outcome: Outcome
    rules: tuple[RuleResult, ...]
    cost: Cost

    def headline(self) -> dict[str, MetadataType]:
        """The outcome and what did not hold."""
        return {"outcome": self.outcome, "version": self.version, "reasons": self.reasons()}

    def reasons(self) -> list[str]:
        """A sentence for each required rule that did not pass."""
        return [rule.sentence() for rule in self.open_rules()]

    def open_rules(self) -> list[RuleResult]:
        """The required rules that did not pass, what refuses first."""
        return open_rules(self.rules)
