"""A challenger beside another model on the same rows: all, the golden set, the new rows, each class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from materializers.evaluation.metric import Measured, Metric, Section
from materializers.report import Record

Against = Literal["champion", "anchor", "majority class"]


class PairedRows(Record):
    """Two models on the same n rows."""

    n: int
    only_reference: int
    """Rows that only the other model has right."""
    only_challenger: int
    reference: float | None
    challenger: float | None
    """The accuracy of each; None of no rows."""
    difference: Metric
    """The challenger's accuracy less the other's, with Tango's score interval."""
    p: float | None
    """Of all rows: that the challenger is worse by the margin or more. Of a part of them: that it is not
    worse beyond the part's margin, so that a small one is harm."""
    adjusted: float | None = None
    """The same by Holm, over the parts that are judged together; None: the part is not judged."""


class Comparison(Section):
    """A challenger beside one other model, both asked now, on rows that neither learnt from.

    The rows are those of the classes that both know; what only the challenger knows has to hold by itself,
    and what only the other model knows has to have been given up by name.
    """

    against: Against = "champion"
    nothing_yet: str | None = None
    """Why there is nothing to compare with, and cannot be; None: there is."""
    version: str | None = None
    model: str | None = None
    """The other model's version in the registry and the digest of its directory."""
    overall: PairedRows | None = None
    golden: PairedRows | None = None
    new_rows: PairedRows | None = None
    """The frozen golden set, and what the other model's splits did not know; the rest is in neither."""
    classes: dict[str, PairedRows] = Field(default_factory=dict)
    """The rows of each class: the accuracy on them is its recall."""
    compared_classes: tuple[str, ...] = ()
    new_classes: tuple[str, ...] = ()
    dropped_classes: tuple[str, ...] = ()
    """Those that only the challenger knows, and those that only the other model does."""
    retired_classes: tuple[str, ...] = ()
    """Of the dropped ones those that the configuration names as given up."""
    always_answered: str | None = None
    """The one class that the majority-class baseline ever answers."""
    left_out: int = 0
    """Test rows that the other model learnt from."""
    decisions_on_this_test_set: int = 0
    """Verdicts that these test rows, or a test set that has most of them, were used for, with this one; the
    more, the likelier one by luck."""
    margin: float = 0.0
    class_margin: float = 0.0
    subset_margin: float = 0.0
    min_n: int = 0
    alpha: float = 0.0
    harm_alpha: float = 0.0
    """The settings that the p-values and intervals were made with."""
    power: float | None = None
    """How often a challenger that is exactly as good would pass, with as many rows and disagreements."""

    @property
    def opponent(self) -> str:
        """What the challenger is compared with, in words."""
        if self.against == "majority class":
            return f"a baseline that always answers {self.always_answered or 'the most frequent class'}"
        return (
            f"the {self.against}" if self.version is None else f"the {self.against}, version {self.version}"
        )

    def measured(self) -> Iterator[Measured]:
        """The difference on all rows; beside the champion also dropped classes and the p-values of harm."""
        to = "anchor" if self.against == "anchor" else "champion"
        yield Measured(
            metric=f"accuracy_difference_to_{to}",
            value=None if self.overall is None else self.overall.difference,
            reason=self.not_assessed or self.nothing_yet or self._how_sure(),
            spared=self.nothing_yet is not None,
        )
        if self.against != "anchor":
            yield self._dropped()
            yield self._harm("golden_harm", None, self.golden)
            yield self._harm("new_rows_harm", None, self.new_rows)
            yield from self._harm_of_classes()

    def _dropped(self) -> Measured:
        """How many classes of the other model nobody gave up, and this one cannot answer all the same."""
        if self.not_assessed is not None:
            return Measured(metric="dropped_classes", value=None, reason=self.not_assessed)
        gone = sorted({*self.dropped_classes} - {*self.retired_classes})
        reason = (
            f"{self.opponent} knows {', '.join(gone)}, and this model does not: name each under "
            "product.classes, or under product.class_changes where it was retired or renamed"
        )
        count = len(self.compared_classes) + len(self.dropped_classes)
        value = Metric(value=float(len(gone)), n=count)
        return Measured(metric="dropped_classes", value=value, reason=reason if gone else None)

    def _how_sure(self) -> str:
        """With what the challenger was compared, and how often an equal one would pass."""
        chance = None if self.against == "majority class" else self.power
        power = "" if chance is None else f"; one that is exactly as good would pass in {chance:.0%} of cases"
        times = self.decisions_on_this_test_set
        used = f"; verdict {times} on this test set" if times > 1 else ""
        return f"compared with {self.opponent}{power}{used}"

    def _harm_of_classes(self) -> Iterator[Measured]:
        if not self.classes:
            yield self._harm("class_harm", None, None)
        for label, rows in self.classes.items():
            yield self._harm("class_harm", label, rows)

    def _harm(self, metric: str, subject: str | None, rows: PairedRows | None) -> Measured:
        if self.not_assessed is None and rows is not None and rows.adjusted is not None:
            found = Metric(value=rows.adjusted, n=rows.n)
            return Measured(metric=metric, subject=subject, value=found)
        if self.not_assessed is not None:
            return Measured(metric=metric, subject=subject, value=None, reason=self.not_assessed)
        reason = self._why_not(subject, rows)
        return Measured(metric=metric, subject=subject, value=None, reason=reason, spared=True)

    def _why_not(self, subject: str | None, rows: PairedRows | None) -> str:
        """Why there is no p-value of harm for a part of the rows."""
        if subject is None or rows is None:
            return "none of the rows compared is of this kind"
        if rows.n < self.min_n:
            return f"{rows.n} rows, of {self.min_n} that a class needs to be compared"
        return "the baseline that always answers this class is never wrong on it"
