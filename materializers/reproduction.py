"""A registered version that was trained again: whether it came to the same model, and what differs."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from materializers.report import Record, Report

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType


class Compared(Record):
    """One thing as it was recorded beside the same as it is here."""

    name: str
    recorded: str | None
    """None where nobody recorded it."""
    here: str | None

    @property
    def same(self) -> bool | None:
        """Whether both are known and equal; None where one of them is not known."""
        if self.recorded is None or self.here is None:
            return None
        return self.recorded == self.here


class TensorDifference(Record):
    """By how much one tensor of the weights differs."""

    name: str
    shape: tuple[int, ...]
    absolute: float
    """The largest difference of an element."""
    relative: float
    """The same, in times of the largest magnitude that an element of the recorded tensor has."""


class WeightsDifference(Record):
    """What differs between the weights that are stored and those that were trained here."""

    tensors: int
    """That both have, in the same shape and type."""
    differing: int
    absolute: float
    """The largest of all, as in :class:`TensorDifference`."""
    relative: float
    worst: tuple[TensorDifference, ...]
    """Those with the largest relative difference, that one first."""
    unmatched: tuple[str, ...]
    """Tensors that only one side has, or the other has in another shape or type."""

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not self.differing and not self.unmatched


class Reproduction(Report):
    """What training a version again came to; that nothing was registered is part of it."""

    template: ClassVar[str] = "reproduction.html"

    model_name: str
    version: int
    run: str
    """The ZenML run that made the version."""
    outcome: Literal["equal", "differs"]
    """Of the bytes that came out, whatever went in."""
    inputs: tuple[Compared, ...]
    """What goes into a training."""
    results: tuple[Compared, ...]
    """What came out of it."""
    weights: WeightsDifference | None
    """None where the stored ones cannot be read."""
    reasons: tuple[str, ...]
    """Sentences: what it came to, then what differs."""

    def headline(self) -> dict[str, MetadataType]:
        """The outcome, the version, and by how much its weights differ."""
        values: dict[str, MetadataType] = {"outcome": self.outcome, "version": self.version}
        if self.weights is not None:
            values["tensors_that_differ"] = self.weights.differing + len(self.weights.unmatched)
            values["largest_relative_difference"] = self.weights.relative
        return values
