"""An A/B test as a product manager reads it: who is ahead in what, by how much, and is that decided."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from materializers.observation import Answer, Because
from materializers.release import Environment
from materializers.report import Record, Report

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType

SuccessName: TypeAlias = Literal["accuracy", "latency", "business figure"]
Ahead: TypeAlias = Literal["candidate", "champion"]


class Measurement(Record):
    """One success metric at one look."""

    at: datetime
    n_candidate: int
    n_champion: int
    candidate: float
    champion: float
    difference: float
    """The candidate's less the champion's."""
    low: float | None
    """Of the interval that leaves out what the test of this look excludes; None where it excludes nothing."""
    high: float | None
    p: float
    """Two-sided, of "there is no difference", at this look alone."""
    level: float
    """Of this look; it is significant where ``p`` is at most that."""

    @property
    def significant(self) -> bool:
        """Whether the looks before it being counted, too, a difference is shown."""
        return self.p <= self.level


class SuccessMetric(Record):
    """One success metric of an A/B test, look by look."""

    name: SuccessName
    unit: Literal["share", "ms", ""]
    more_is_better: bool
    looks: tuple[Measurement, ...]
    tolerated: float | None
    """The difference that the sample size is for, in the metric's unit; None before anything is known."""
    needed: int | None
    """So many of the candidate show such a difference with the power that is set; None before it is known."""
    power: float | None
    """To show such a difference with what there is now."""
    lacking: str | None = None
    """Why nothing is compared yet."""

    @property
    def latest(self) -> Measurement | None:
        """The last look."""
        return self.looks[-1] if self.looks else None

    @property
    def decided(self) -> bool:
        """Whether a difference was shown at any look."""
        return any(look.significant for look in self.looks)

    @property
    def ahead(self) -> Ahead | None:
        """Who is better: by the first look that shows it, else by what was measured last; None: nobody."""
        shown = next((look for look in self.looks if look.significant), self.latest)
        if shown is None or not shown.difference:
            return None
        return "candidate" if (shown.difference > 0) == self.more_is_better else "champion"


class AbReport(Report):
    """The success metrics of an A/B test, and what becomes of the candidate."""

    template: ClassVar[str] = "ab_report.html"

    model_name: str
    environment: Environment
    candidate: int | None
    """The version."""
    champion: int | None
    share: float
    """Of the request keys, the candidate's."""
    begin: datetime
    seen_until: datetime
    requests_candidate: int
    requests_champion: int
    answer: Answer
    because: Because
    alpha: float
    """That any difference is shown where there is none, over all metrics and looks."""
    power: float
    metrics: tuple[SuccessMetric, ...]

    @property
    def decided(self) -> tuple[SuccessMetric, ...]:
        """The metrics in which a difference is shown."""
        return tuple(metric for metric in self.metrics if metric.decided)

    def headline(self) -> dict[str, MetadataType]:
        """Who is ahead in what, as far as that is decided."""
        values: dict[str, MetadataType] = {"answer": self.answer, "requests": self.requests_candidate}
        for metric in self.decided:
            values[f"{metric.name}_ahead"] = str(metric.ahead)
        return values
