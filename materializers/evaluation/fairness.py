"""Whether a model treats the groups of a column alike that was declared sensitive."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from materializers.evaluation.metric import Measured, Metric, Section
from materializers.report import Record


class FairnessColumn(Record):
    """One sensitive column.

    Every n but those of ``groups`` counts the smallest group that was compared. A classifier of many classes
    is judged class by class against the rest, and the largest difference of all classes counts.
    """

    groups: dict[str, Metric] = Field(default_factory=dict)
    """The accuracy of each group, with Wilson's interval; n counts its test pictures."""
    too_few: dict[str, int] = Field(default_factory=dict)
    """Test pictures of each group that has fewer than ``min_n``: not compared."""
    gap: Metric | None = None
    """The highest accuracy of a group minus the lowest. A limit is to be compared with ``low``: the gap is
    significantly beyond the limit where ``low`` is, however many groups there are."""
    demographic_parity: Metric | None = None
    """The difference between the groups of how often one class is answered. A perfect model has one too where
    the groups show the classes in other shares."""
    demographic_parity_class: str | None = None
    """The class in which they differ most."""
    equalized_odds: Metric | None = None
    """The difference between the groups of how often one class is found (the true positive rate) or wrongly
    answered (the false positive rate), the larger of the two."""
    equalized_odds_class: str | None = None
    """The class in which they differ most."""
    equalized_odds_note: str | None = None
    """Why there is none, or which classes it says nothing about."""
    not_assessed: str | None = None
    """Why the groups were not compared at all, in one sentence."""


class Fairness(Section):
    """Differences between the groups of each sensitive column, with 95 % intervals."""

    min_n: int = 0
    """Test pictures that a group must have."""
    min_class_n: int = 0
    """Test pictures of one class, and of all others, that a group must have for the rates of that class."""
    columns: dict[str, FairnessColumn] = Field(default_factory=dict)

    def measured(self) -> Iterator[Measured]:
        """The three differences of each column."""
        if self.not_assessed is not None:
            for name in ("fairness_gap", "demographic_parity_difference", "equalized_odds_difference"):
                yield Measured(metric=name, value=None, reason=self.not_assessed)
        for column, found in self.columns.items():
            why = found.not_assessed
            yield Measured(metric="fairness_gap", subject=column, value=found.gap, reason=why)
            yield Measured(
                metric="demographic_parity_difference",
                subject=column,
                value=found.demographic_parity,
                reason=why,
            )
            yield Measured(
                metric="equalized_odds_difference",
                subject=column,
                value=found.equalized_odds,
                reason=why or (None if found.equalized_odds else found.equalized_odds_note),
            )
