"""Whether what a model is asked, and what it answers, is still what it was judged on."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from pydantic import Field

from materializers.evaluation.metric import Metric
from materializers.release import Environment
from materializers.report import Record, Report

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType

Kind: TypeAlias = Literal["input", "prediction"]
DriftOutcome: TypeAlias = Literal["drift", "no drift", "insufficient data"]
PerformanceOutcome: TypeAlias = Literal["drop", "no drop", "insufficient data"]
Figure: TypeAlias = Literal["value", "reward"]
ValueIs: TypeAlias = Literal["gain", "cost"]
LISTED = 5


class Fixed(Record):
    """What a threshold says that knows nothing of the number of pictures."""

    measure: str
    value: float
    threshold: float

    @property
    def exceeded(self) -> bool:
        """Whether it would raise an alarm."""
        return self.value > self.threshold


class DriftSignal(Record):
    """One distance between reference and window, beside what chance makes of it.

    ``threshold`` and ``p`` allow for all signals being looked at together; they are computed for just these
    pictures, by permuting them. ``n_reference`` and ``n_window`` are the pictures that were compared.
    """

    name: str
    kind: Kind
    outcome: DriftOutcome
    value: float | None
    threshold: float | None
    p: float | None
    """How often the most unusual of all signals is as unusual as this one where nothing differs."""
    n_reference: int
    n_window: int
    fixed: Fixed | None = None
    lacking: str | None = None


class Performance(Record):
    """How often the answers were right, as far as anybody said so."""

    outcome: PerformanceOutcome
    accuracy: Metric
    """With an interval of 95 %; n is the number of labels."""
    floor: float
    """An alarm where the whole interval lies below it."""
    baseline: float | None
    """The fixed accuracy that it is compared with; None where none was set yet."""
    baseline_share: float
    """An alarm where the whole interval lies below this share of the baseline."""
    coverage: float
    """Share of the answers for which a label came."""
    delay_s: float | None
    """Median, from the answer to its label."""
    since: datetime | None = None
    """Of the first answers that count; None in a report of before that was kept."""
    reasons: tuple[str, ...]


class BusinessFigure(Record):
    """What the answers were worth, as far as anybody said so."""

    outcome: PerformanceOutcome
    figure: Figure
    value_is: ValueIs
    """Whether more of it is better."""
    mean: Metric
    """Of a request, with an interval of 95 %; n is the number of requests for which one was posted."""
    baseline: float | None
    """The mean that it is compared with, which does not move; None where there was none yet."""
    baseline_set: datetime | None
    """When a window's mean became it; None where there is none."""
    decline: float
    """A drop where the whole interval is worse than the baseline by more than this share of it."""
    limit: float | None
    """The mean at which that begins; None where there is no baseline."""
    reasons: tuple[str, ...]


class ComparedWith(Record):
    """Which reference a window was compared with."""

    rebased: bool
    """Whether it was made of accepted traffic; else it is the model's own validation and test pictures."""
    pictures: int
    since: datetime | None
    """From when on it counts: when the version was registered, or when the traffic was accepted."""
    reference_digest: str | None = None
    """Of what was made of traffic."""
    by: str | None = None
    """Who accepted the traffic."""
    erased: int = 0
    """Pictures that ``--forget`` took out of it since."""

    @property
    def sentence(self) -> str:
        """What it is, for a person."""
        since = f", since {self.since:%Y-%m-%d %H:%M} UTC" if self.since else ""
        if not self.rebased:
            return f"compared with the model's own {self.pictures:,} validation and test pictures{since}"
        gone = f"; {self.erased:,} more were erased" if self.erased else ""
        return f"compared with {self.pictures:,} pictures of traffic that {self.by} accepted{since}{gone}"


class ServiceFigures(Record):
    """What Prometheus has of the service in the window, beside what people are told above."""

    url: str
    """That was asked."""
    requests: float | None = None
    error_rate: float | None = None
    """Share of the requests that failed, or were refused for lack of room."""
    latency_p99_ms: float | None = None
    """Between two bounds of the histogram; above the highest, that bound."""
    latency_limit_ms: float
    error_limit: float
    unreachable: str | None = None
    """Why there are no figures."""

    @property
    def slow(self) -> bool:
        """Whether the latency is beyond its limit."""
        return self.latency_p99_ms is not None and self.latency_p99_ms > self.latency_limit_ms

    @property
    def failing(self) -> bool:
        """Whether the share of errors is beyond its limit."""
        return self.error_rate is not None and self.error_rate > self.error_limit


class Captured(Record):
    """What of the traffic was looked at."""

    model_name: str
    environment: Environment
    version: int
    model_digest: str
    since: datetime
    until: datetime
    pictures: int
    """That the live version answered."""
    repeated: int = 0
    """Of them those that it had answered before in the window, which say nothing new of the traffic."""
    measured: int
    """Of them those whose picture was kept."""
    refused: int
    """Pictures that could not be used."""
    failed: int
    """Requests that ended with an error of the service."""
    latency_p99_ms: float | None
    other_versions: dict[str, int] = Field(default_factory=dict)
    """Answers of other versions, which were left out."""
    unknown_versions: dict[str, int] = Field(default_factory=dict)
    """And of versions that the registry does not know."""
    unreadable: tuple[str, ...] = ()
    """Files of captures that could not be read, and were left out."""
    unmatched_labels: int = 0
    conflicting_labels: int = 0
    dated_ahead: int = 0
    """Answers that are dated later than now, and were left out."""
    dated_before: int = 0
    """Answers that are dated earlier than the model was registered."""
    reference: ComparedWith | None = None
    """None in a report of before references could be rebased."""
    service: ServiceFigures | None = None
    """None: no Prometheus was asked."""

    @property
    def sentence(self) -> str:
        """Which window it is, for a person."""
        return (
            f"version {self.version} in {self.environment}, {self.since:%Y-%m-%d %H:%M} to "
            f"{self.until:%Y-%m-%d %H:%M} UTC, {self.pictures:,} pictures"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What is odd about it, a sentence each."""
        said = []
        if self.unreadable:
            named = ", ".join(self.unreadable[:LISTED])
            said.append(f"{len(self.unreadable)} files of captures cannot be read: {named}")
        if self.unknown_versions:
            named = ", ".join(f"{version} ({count:,})" for version, count in self.unknown_versions.items())
            said.append(f"answers of versions that the registry does not know: {named}")
        if self.unmatched_labels:
            unmatched = f"{self.unmatched_labels:,} labels are of no request that was captured"
            said.append(f"{unmatched} while labels count, or do not say which picture they mean")
        if self.conflicting_labels:
            said.append(f"{self.conflicting_labels:,} pictures were given two labels")
        if self.dated_ahead:
            said.append(f"{self.dated_ahead:,} answers are dated later than now: a clock goes ahead")
        if self.dated_before:
            dated = f"{self.dated_before:,} answers are dated before their model was registered"
            said.append(f"{dated}: a clock is behind")
        if self.service is not None and self.service.unreachable is not None:
            said.append(f"latency and errors are not known: {self.service.unreachable}")
        return tuple(said)


class DriftReport(Report):
    """A window of traffic beside the reference: each signal, what decided, and whether it is an alarm."""

    template: ClassVar[str] = "drift_report.html"

    captured: Captured
    signals: tuple[DriftSignal, ...]
    performance: Performance
    business: BusinessFigure | None = None
    """None where nobody wants it looked at."""
    decided_by: Literal["calibrated", "fixed"]
    false_alarms: float
    """How often at most any signal is taken for drift where nothing differs."""
    permutations: int
    outcome: DriftOutcome
    """``drift`` where any signal drifts; ``insufficient data`` where none was compared."""
    reasons: tuple[str, ...]

    @property
    def alarm(self) -> bool:
        """Whether people are to be told."""
        worth = self.business is not None and self.business.outcome == "drop"
        service = self.captured.service
        unwell = service is not None and (service.slow or service.failing)
        return self.outcome == "drift" or self.performance.outcome == "drop" or worth or unwell

    @property
    def found(self) -> str:
        """What was found, in a few words."""
        service, business = self.captured.service, self.business
        said = [self.outcome.capitalize()]
        if self.performance.outcome == "drop":
            said.append("a drop of accuracy")
        if business is not None and business.outcome == "drop":
            said.append("a drop of the business figure")
        if service is not None and service.slow:
            said.append("a slow service")
        if service is not None and service.failing:
            said.append("requests that fail")
        return ", and ".join(said)

    @property
    def drift_share(self) -> float | None:
        """Share of the compared signals that drift; None where none was compared."""
        compared = [signal for signal in self.signals if signal.outcome != "insufficient data"]
        if not compared:
            return None
        return sum(signal.outcome == "drift" for signal in compared) / len(compared)

    def headline(self) -> dict[str, MetadataType]:
        """Outcome, reasons, and how much was looked at."""
        values: dict[str, MetadataType] = {
            "outcome": self.outcome,
            "performance": self.performance.outcome,
            "num_predictions": self.captured.pictures,
            "reasons": list(self.reasons),
        }
        if self.drift_share is not None:
            values["drift_share"] = self.drift_share
        if self.performance.accuracy.value is not None:
            values["current_accuracy"] = self.performance.accuracy.value
        if self.business is not None and self.business.mean.value is not None:
            values["business_figure"] = self.business.mean.value
        return values
