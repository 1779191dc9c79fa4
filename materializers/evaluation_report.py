"""The numbers of one model on its untouched test set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from materializers.evaluation.abstention import Abstention
from materializers.evaluation.behaviour import Behaviour
from materializers.evaluation.calibration_quality import CalibrationQuality
from materializers.evaluation.comparison import Comparison
from materializers.evaluation.cost import Cost
from materializers.evaluation.discrimination import Discrimination
from materializers.evaluation.explanations import Explanations
from materializers.evaluation.fairness import Fairness
from materializers.evaluation.metric import Measured, Metric, Section
from materializers.evaluation.robustness import Robustness
from materializers.evaluation.security import Security
from materializers.evaluation.slices import Slices
from materializers.evaluation.unknown_pictures import UnknownPictures
from materializers.evaluation.watermark import Watermark
from materializers.evaluation.worst_mistakes import WorstMistakes
from materializers.report import Record, Report

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType


class ClassMetrics(Record):
    """The numbers of one class; ``n`` of precision counts predictions, of recall test pictures."""

    precision: Metric
    recall: Metric
    f1_score: Metric


class Latency(Record):
    """Milliseconds for one picture from bytes to answer, in process, one at a time: as format 1 had it."""

    p50_ms: float
    p99_ms: float
    n: int


PARTS = (
    "champion",
    "anchor",
    "discrimination",
    "calibration",
    "abstention",
    "unknown",
    "worst_mistakes",
    "slices",
    "fairness",
    "robustness",
    "explanations",
    "behaviour",
    "cost",
    "security",
    "watermark",
)
"""The fields of format 2 that are sections, in the order of the page."""


class EvaluationReport(Report):
    """Accuracy and its relatives, per class and overall, and all else that was examined, a part each."""

    template: ClassVar[str] = "evaluation_report.html"
    picture_bytes: ClassVar[int] = 2_000_000
    """With numbers and names of a thousand classes the page stays below 3 MB."""
    formats: ClassVar[tuple[int, ...]] = (1, 2)
    later_fields: ClassVar[dict[str, int]] = dict.fromkeys(("test_set", *PARTS), 2)

    format_version: int = 2
    model: str
    data: str
    splits: str
    """Digests of the model directory, the dataset and the splits."""
    test_set: str | None = None
    """Digest of the ids of the test pictures."""
    n: int
    accuracy: Metric
    f1_macro: Metric
    roc_auc_macro: Metric
    per_class: dict[str, ClassMetrics]
    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Row: the true class, column: the predicted one, in the order of ``classes``."""
    latency: Latency | None = None
    """Of a report of format 1; now it is part of ``cost``."""
    model_bytes: int
    set_aside: int
    """Test pictures that the serving code refused; they count as wrong."""
    champion: Comparison | None = None
    anchor: Comparison | None = None
    discrimination: Discrimination | None = None
    calibration: CalibrationQuality | None = None
    abstention: Abstention | None = None
    unknown: UnknownPictures | None = None
    worst_mistakes: WorstMistakes | None = None
    slices: Slices | None = None
    fairness: Fairness | None = None
    robustness: Robustness | None = None
    explanations: Explanations | None = None
    behaviour: Behaviour | None = None
    cost: Cost | None = None
    security: Security | None = None
    watermark: Watermark | None = None

    @property
    def parts(self) -> dict[str, Section]:
        """The sections that there are, by the name of their field."""
        found = {name: getattr(self, name) for name in PARTS}
        return {name: part for name, part in found.items() if part is not None}

    @property
    def not_assessed(self) -> dict[str, str]:
        """Why there is nothing in a part, by the name of its field."""
        nothing = {
            name: part.nothing_yet if isinstance(part, Comparison) and part.overall is None else None
            for name, part in self.parts.items()
        }
        reasons = {name: part.not_assessed or nothing[name] for name, part in self.parts.items()}
        return {name: reason for name, reason in reasons.items() if reason is not None}

    @property
    def latency_ms(self) -> dict[str, float | None]:
        """Milliseconds that half, and 99 of 100, of the requests take at most; None where nobody knows."""
        if self.latency is not None:
            return {"latency_p50_ms": self.latency.p50_ms, "latency_p99_ms": self.latency.p99_ms}
        names = ("latency_p50_ms", "latency_p99_ms")
        return {name: getattr(getattr(self.cost, name, None), "value", None) for name in names}

    def measured(self) -> Iterator[Measured]:
        """Every number that a policy may have a rule on, under the name that it has there."""
        for name in ("accuracy", "f1_macro", "roc_auc_macro"):
            yield Measured(metric=name, value=getattr(self, name))
        for name in ("precision", "recall", "f1_score"):
            for label in self.classes:
                of_class = self.per_class.get(label)
                yield Measured(metric=name, subject=label, value=getattr(of_class, name, None))
        if self.latency is not None:
            for name, value in self.latency_ms.items():
                yield Measured(metric=name, value=Metric(value=value, n=self.latency.n))
        for part in self.parts.values():
            yield from part.measured()

    def headline(self) -> dict[str, MetadataType]:
        """The metrics that the gate looks at first."""
        values: dict[str, MetadataType] = {"n": self.n}
        first = {name: getattr(self, name).value for name in ("accuracy", "f1_macro", "roc_auc_macro")}
        known = {**first, "latency_p99_ms": self.latency_ms["latency_p99_ms"]}
        return values | {name: value for name, value in known.items() if value is not None}
