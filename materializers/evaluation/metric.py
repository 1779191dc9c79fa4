"""One number of an evaluation, and how a part of the report hands its numbers to the gate."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

from materializers.report import Record


class Metric(Record):
    """One number with its 95 % interval and the number of rows it was measured on."""

    value: float | None
    """None when it is not defined, such as the precision of a class that was never predicted."""
    low: float | None = None
    high: float | None = None
    n: int

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both bounds; None where there are none."""
        return None if self.low is None or self.high is None else (self.low, self.high)


class Measured(Record):
    """One number under the name that a policy knows it by.

    Args:
        metric: a name of ``steps/evaluation/catalogue.py``.
        subject: what of the model it is about, such as a class; None: the model.
        value: None where it was not measured.
        reason: why not, in one sentence.
        spared: there is nothing of the kind to measure, or too little, and that alone speaks against no
            model: it is listed and decides nothing.
    """

    metric: str
    subject: str | None = None
    value: Metric | None
    reason: str | None = None
    spared: bool = False


class Section(Record):
    """One part of an evaluation: what was measured, or why it was not.

    A subclass has a field for each number, with a default, so that a part that was not assessed is
    ``Subclass(not_assessed="…")``.
    """

    not_assessed: str | None = None
    """Why nothing of this part was measured, in one sentence; None: it was."""

    @abstractmethod
    def measured(self) -> Iterator[Measured]:
        """Every number of this part that a policy may have a rule on, those that are missing too."""
