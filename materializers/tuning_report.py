"""What tuning and cross-validation found: trials, the best parameters, folds."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from pydantic import Field

from materializers.report import Record, Report

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType

Value: TypeAlias = bool | int | float | str | None
HISTORY, IMPORTANCES, PARALLEL = "1 history", "2 importances", "3 parallel coordinates"


class Trial(Record):
    """One training with parameters of its own."""

    number: int
    """From 1, in the order in which parameters were proposed."""
    state: Literal["complete", "pruned"]
    parameters: dict[str, Value]
    val_accuracy: tuple[float, ...]
    """After each epoch."""
    score: float | None
    """The highest validation accuracy; 0 where the training was given up, None where the trial was pruned."""
    failure: str | None = None
    """Why the training was given up."""


class Fold(Record):
    """One part of the pictures, measured by a model that learnt from the others."""

    number: int
    """From 1."""
    n: int
    """Pictures that were measured."""
    accuracy: float
    f1_macro: float
    epochs: int
    """That were trained, of which the best one was measured; none where the head is fitted in closed form."""
    failure: str | None = None
    """Why its training was given up; what was measured then are the weights of its best epoch."""


class Spread(Record):
    """A figure over all folds."""

    mean: float
    deviation: float
    """The standard deviation of a fold (divided by folds − 1)."""


class CrossValidation(Record):
    """All folds of one configuration."""

    folds: tuple[Fold, ...]
    accuracy: Spread
    f1_macro: Spread
    parameters: dict[str, Value]
    """What tuning had chosen before; empty: the configuration as it is."""


class TuningReport(Report):
    """Trials and folds of one training; either may be missing."""

    template: ClassVar[str] = "tuning_report.html"

    data: str
    """The dataset's version."""
    splits: str
    """The splits' digest."""
    configuration: str
    code: str
    learnt_from: Literal["features", "pictures"]
    """Features are those of a frozen backbone, computed once."""
    pruner: Literal["hyperband", "median", "none"]
    search_space: dict[str, str]
    """In words, by parameter."""
    trials: tuple[Trial, ...] = ()
    best: dict[str, Value] = Field(default_factory=dict)
    """The parameters of the trial with the highest score, of equal ones the first; empty: nothing was tuned,
    or no trial learnt anything."""
    importances: dict[str, float] = Field(default_factory=dict)
    """Each parameter's share of the variance of scores (fANOVA, Hutter et al. 2014)."""
    cross_validation: CrossValidation | None = None

    @property
    def score(self) -> float | None:
        """The highest score of a trial."""
        return max((each.score for each in self.trials if each.score is not None), default=None)

    @property
    def pruned(self) -> int:
        """How many trials were pruned."""
        return sum(each.state == "pruned" for each in self.trials)

    @property
    def epochs(self) -> int:
        """The epochs of all trials together."""
        return sum(len(each.val_accuracy) for each in self.trials)

    def headline(self) -> dict[str, MetadataType]:
        """The best parameters and score, and the mean over the folds."""
        values: dict[str, MetadataType] = {"trials": len(self.trials), "pruned": self.pruned}
        if self.score is not None:
            values["val_accuracy"] = self.score
        values |= {name: value if value is not None else "none" for name, value in self.best.items()}
        if self.cross_validation is not None:
            values["fold_accuracy"] = self.cross_validation.accuracy.mean
            values["fold_accuracy_deviation"] = self.cross_validation.accuracy.deviation
        return values
