"""How many test pictures get an answer, and how many of these answers are wrong."""

from __future__ import annotations

from collections.abc import Iterator

from materializers.evaluation.metric import Measured, Metric, Section
from materializers.report import Record


class CoveragePoint(Record):
    """What a threshold would come to."""

    threshold: float
    """What the probability of an answer must reach."""
    coverage: float
    """The share of the answers that do."""
    risk: Metric
    """The share of these that is wrong, with Wilson's interval."""


class Abstention(Section):
    """Coverage against risk, at the model's own threshold and at others."""

    threshold: float | None = None
    """Of the served model: a less probable answer is an abstention. 0: it never abstains."""
    risk_limit: float | None = None
    """The risk that the threshold was chosen for; None: no limit was asked for."""
    coverage: Metric | None = None
    """The share of all test pictures that gets an answer; one that serving refuses gets none."""
    selective_risk: Metric | None = None
    """The share of wrong answers among those given."""
    area_under_risk_coverage: Metric | None = None
    """The mean risk over all coverages: the lower, the better the probabilities put wrong answers last."""
    curve: tuple[CoveragePoint, ...] = ()
    """From every picture to few."""

    def measured(self) -> Iterator[Measured]:
        """Coverage and risk at the model's own threshold."""
        none_given = self.selective_risk is not None and self.selective_risk.value is None
        silent = f"no test picture reaches the threshold {self.threshold}" if none_given else None
        yield Measured(metric="coverage", value=self.coverage, reason=self.not_assessed)
        yield Measured(metric="selective_risk", value=self.selective_risk, reason=self.not_assessed or silent)
