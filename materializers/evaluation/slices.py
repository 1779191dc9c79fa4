"""How right a model is on parts of the test pictures: the groups that a column or a property makes."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from materializers.evaluation.metric import Measured, Metric, Section
from materializers.report import Record


class SlicedColumn(Record):
    """The groups of one column.

    A picture without a value is of the group ``(missing)``. A picture that the serving code refused counts as
    wrong.
    """

    groups: dict[str, Metric] = Field(default_factory=dict)
    """The accuracy of each group, with Wilson's interval; n counts its test pictures."""
    too_few: dict[str, int] = Field(default_factory=dict)
    """Test pictures of each group that has fewer than ``min_n``: not assessed."""
    worst: str | None = None
    """The group with the lowest accuracy. Its interval is its own, as if nobody had looked for the lowest."""
    gap: Metric | None = None
    """The highest accuracy of a group minus the lowest. It is significantly beyond a limit where ``low`` is,
    however many groups there are. n counts the smallest group."""
    not_assessed: str | None = None
    """Why there are no groups to compare, in one sentence."""


class Slices(Section):
    """The accuracy of each group, column by column."""

    min_n: int = 0
    """Test pictures that a group must have."""
    columns: dict[str, SlicedColumn] = Field(default_factory=dict)
    """Columns of ``labels.csv``, and ``picture_size`` (pixels), ``brightness`` (mean luma, 0 to 255) and
    ``source`` (who delivered)."""
    left_out: dict[str, str] = Field(default_factory=dict)
    """Columns that nobody asked for and that make no groups, with the reason."""

    def measured(self) -> Iterator[Measured]:
        """The worst group and the gap of each column."""
        if self.not_assessed is not None:
            for name in ("worst_group_accuracy", "accuracy_gap"):
                yield Measured(metric=name, value=None, reason=self.not_assessed)
        for column, found in self.columns.items():
            worst = None if found.worst is None else found.groups[found.worst]
            subject = column if found.worst is None else f"{column}={found.worst}"
            yield Measured(
                metric="worst_group_accuracy", subject=subject, value=worst, reason=found.not_assessed
            )
            yield Measured(metric="accuracy_gap", subject=column, value=found.gap, reason=found.not_assessed)
