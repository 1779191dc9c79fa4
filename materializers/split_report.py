"""How a dataset was split, who was set apart and why, and whether anyone may train on the splits."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from materializers.data_report import Check
from materializers.report import Record, Report

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType


class PictureApart(Record):
    """One picture that is in no split, and why."""

    image_id: str
    label: str
    group: str
    was: Literal["train", "validation", "test"] | None
    """Where it was until now; none for a new picture and for one that was apart before."""
    reason: str


class MergedGroup(Record):
    """A group whose pictures were in several splits: it was several groups when they were placed."""

    name: str
    kept: Literal["train", "validation", "test"]
    """The split whose pictures stay."""
    set_apart: dict[str, int]
    """Pictures set apart, by the split that they were in."""


class SplitReport(Report):
    """The checks of one dataset's splits. ``refused`` when any check is: then there are no splits."""

    template: ClassVar[str] = "split_report.html"

    outcome: Literal["passed", "refused"]
    by: Literal["groups", "time"]
    data: str
    """The dataset's version."""
    splits: str | None
    """The splits' digest; none where nothing could be split."""
    parent: str | None
    """The digest of the splits that these grew from."""
    rows: int
    """Pictures of the dataset."""
    checks: tuple[Check, ...]
    counts: dict[str, dict[str, int]]
    """Pictures per class, then per split and ``set_apart``."""
    configured_shares: dict[str, float]
    shares: dict[str, float] = Field(default_factory=dict)
    """Of the pictures that are in a split."""
    new: int = 0
    """Pictures that earlier splits did not know."""
    set_apart: tuple[PictureApart, ...] = ()
    """Those that are newly apart first; of many only the first, the splits name all."""
    set_apart_count: int = 0
    merged_groups: tuple[MergedGroup, ...] = ()
    golden: int = 0
    golden_away: int = 0
    """Golden pictures that this dataset lacks: withdrawn, forgotten or not delivered."""
    golden_relabelled: int = 0
    """Golden pictures that the dataset gives another label than the frozen one."""

    def headline(self) -> dict[str, MetadataType]:
        """The outcome and the counts."""
        sizes = {
            side: sum(row[side] for row in self.counts.values())
            for side in ("train", "validation", "test", "set_apart")
        }
        return {"outcome": self.outcome, "by": self.by, "golden": self.golden, **sizes}

    def reasons(self) -> list[str]:
        """A sentence for each check that refused."""
        return [check.reason for check in self.checks if check.outcome == "refused"]
