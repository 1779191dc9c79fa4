"""What one dataset version changed against another: pictures added and withdrawn, labels corrected."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from materializers.report import Record, Report

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType

LISTED = 200
"""Changed pictures of each kind that a report names; its counts are of all."""


class ClassDifference(Record):
    """The pictures of one class, before and after; in ``after``: before + added − withdrawn + moves."""

    name: str
    before: int
    after: int
    added: int
    withdrawn: int
    relabelled_from: int
    """Pictures that had this label before."""
    relabelled_to: int
    """Pictures that have this label now."""


class Move(Record):
    """How many pictures were given another label."""

    before: str
    after: str
    pictures: int


class ChangedPicture(Record):
    """One picture that the two versions differ in."""

    image_id: str
    change: Literal["added", "withdrawn", "relabelled"]
    before: str | None
    """Its label before; None for one that was added."""
    after: str | None


class DataDiff(Report):
    """What a dataset version changed against another."""

    template: ClassVar[str] = "data_diff.html"

    before: str
    """The version that is compared against."""
    after: str
    rows_before: int
    rows_after: int
    added: int
    withdrawn: int
    relabelled: int
    forgotten: int
    """Pictures of the earlier version that were erased since the later one was stored."""
    classes: tuple[ClassDifference, ...]
    moves: tuple[Move, ...]
    columns: dict[str, int]
    """Pictures in both versions of which a column besides the label says something else, per column."""
    pictures_named: tuple[ChangedPicture, ...]

    @property
    def same(self) -> bool:
        """Whether the two say the same."""
        return self.before == self.after

    def headline(self) -> dict[str, MetadataType]:
        """The counts."""
        return {
            "before": self.before,
            "after": self.after,
            "added": self.added,
            "withdrawn": self.withdrawn,
            "relabelled": self.relabelled,
            "forgotten": self.forgotten,
        }
