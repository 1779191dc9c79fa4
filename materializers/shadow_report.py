"""What a shadow answered to the champion's requests: how often alike, how fast, and whether at all."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from materializers.evaluation.metric import Metric
from materializers.observation import Answer, Because
from materializers.release import Environment
from materializers.report import Record, Report

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType


class ChangedLabel(Record):
    """Pictures that the shadow put in another class than the champion."""

    champion: str
    shadow: str
    pictures: int


class Latency(Record):
    """How long the same requests took, in milliseconds in the service."""

    champion_median: float
    shadow_median: float
    champion_p95: float
    shadow_p95: float
    difference: Metric
    """The median of what each request took longer in the shadow."""


class PairedErrors(Record):
    """Requests that both got."""

    requests: int
    only_shadow: int
    """That failed in the shadow alone."""
    only_champion: int
    both: int
    p: float | None
    """Of "neither fails more often" (McNemar's exact test); None where none failed in one alone."""


class PairedAccuracy(Record):
    """Answers of both to the same pictures whose labels came."""

    n: int
    champion: float
    shadow: float
    difference: Metric
    """The shadow's less the champion's."""


class ShadowReport(Report):
    """The shadow beside the champion, on the same requests."""

    template: ClassVar[str] = "shadow_report.html"

    model_name: str
    environment: Environment
    candidate: int | None
    """The version."""
    champion: int | None
    begin: datetime
    seen_until: datetime
    answer: Answer
    because: Because
    requests_champion: int
    requests_shadow: int
    paired: int
    """Requests that both got."""
    agreement: Metric
    """The share of the pictures, answered by both, that both put in the same class."""
    changed: tuple[ChangedLabel, ...]
    """Most pictures first."""
    errors: PairedErrors
    latency: Latency | None
    """None where no request was answered by both."""
    accuracy: PairedAccuracy | None
    """None where no label came."""
    missing: tuple[str, ...]

    def headline(self) -> dict[str, MetadataType]:
        """How often both agree, on how many pictures."""
        values: dict[str, MetadataType] = {"answer": self.answer, "pictures": self.agreement.n}
        if self.agreement.value is not None:
            values["agreement"] = self.agreement.value
        return values
