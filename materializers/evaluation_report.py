"""The numbers of one model on its untouched test set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from materializers.evaluation.metric import Measured, Metric
from materializers.report import Record, Report

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType


class ClassMetrics(Record):
    """The numbers of one class; ``n`` of precision counts predictions, of recall test pictures."""

    precision: Metric
    recall: Metric
    f1_score: Metric


class Latency(Record):
    """Milliseconds for one picture from bytes to answer, in process, one at a time."""

    p50_ms: float
    p99_ms: float
    n: int


class EvaluationReport(Report):
    """Accuracy and its relatives, per class and overall, with latency and size."""

    template: ClassVar[str] = "evaluation_report.html"

    model: str
    data: str
    splits: str
    """Digests of the model directory, the dataset and the splits."""
    n: int
    accuracy: Metric
    f1_macro: Metric
    roc_auc_macro: Metric
    per_class: dict[str, ClassMetrics]
    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Row: the true class, column: the predicted one, in the order of ``classes``."""
    latency: Latency
    model_bytes: int
    set_aside: int
    """Test pictures that the serving code refused; they count as wrong."""

    def measured(self) -> Iterator[Measured]:
        """Every number that a policy may have a rule on, under the name that it has there."""
        for name in ("accuracy", "f1_macro", "roc_auc_macro"):
            yield Measured(metric=name, value=getattr(self, name))
        for name in ("precision", "recall", "f1_score"):
            for label in self.classes:
                of_class = self.per_class.get(label)
                yield Measured(metric=name, subject=label, value=getattr(of_class, name, None))
        p50, p99, n = self.latency.p50_ms, self.latency.p99_ms, self.latency.n
        yield Measured(metric="latency_p50_ms", value=Metric(value=p50, n=n))
        yield Measured(metric="latency_p99_ms", value=Metric(value=p99, n=n))
        yield Measured(metric="model_mb", value=Metric(value=self.model_bytes / 1e6, n=1))

    def headline(self) -> dict[str, MetadataType]:
        """The metrics that the gate looks at first."""
        values: dict[str, MetadataType] = {"n": self.n, "latency_p99_ms": self.latency.p99_ms}
        for name in ("accuracy", "f1_macro", "roc_auc_macro"):
            value = getattr(self, name).value
            if value is not None:
                values[name] = value
        return values
