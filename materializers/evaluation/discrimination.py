"""How well a model tells its classes apart, beside accuracy: top-k, means over classes, ROC-AUC by class."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from materializers.evaluation.metric import Measured, Metric, Section

AVERAGES = (
    "precision_macro",
    "recall_macro",
    "precision_weighted",
    "recall_weighted",
    "f1_weighted",
)


class Discrimination(Section):
    """Numbers of all test pictures; a picture that serving refused counts as wrong.

    ``macro`` is the mean over classes, ``weighted`` the mean over classes by their test pictures. A mean over
    a class for which a number is not defined is not defined: no class is left out in silence.
    """

    top_k: int | None = None
    """The k of ``top_k_accuracy``: what was asked for, at most one less than there are classes."""
    top_k_accuracy: Metric | None = None
    """The share of pictures whose class is among the k most probable ones; None with two classes."""
    precision_macro: Metric | None = None
    recall_macro: Metric | None = None
    precision_weighted: Metric | None = None
    recall_weighted: Metric | None = None
    """The same as accuracy, by its definition."""
    f1_weighted: Metric | None = None
    roc_auc: dict[str, Metric] = Field(default_factory=dict)
    """Of each class against the rest."""

    def measured(self) -> Iterator[Measured]:
        """Top-k accuracy, the averages, and the ROC-AUC of each class."""
        few = None if self.top_k_accuracy else "with two classes the second answer is always the other one"
        yield Measured(metric="top_k_accuracy", value=self.top_k_accuracy, reason=self.not_assessed or few)
        for name in AVERAGES:
            yield Measured(metric=name, value=getattr(self, name), reason=self.not_assessed)
        for label, area in self.roc_auc.items():
            yield Measured(metric="roc_auc", subject=label, value=area)
