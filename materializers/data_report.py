"""What was found in a delivery, and whether anyone may train on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from materializers.report import Record, Report

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType


class Check(Record):
    """One check of the data: what was measured beside its limit."""

    name: str
    outcome: Literal["passed", "refused", "warned"]
    measured: float
    limit: float
    reason: str


class SetAside(Record):
    """One picture that nobody trains on, and why."""

    path: str
    label: str | None
    reason: str
    detail: str


class Screening(Report):
    """What reading one delivery found, picture by picture, before anything is checked as a whole."""

    template: ClassVar[str] = "screening.html"

    source_name: str
    rows: int
    """Rows of ``labels.csv``."""
    duplicate_rows: int
    """Rows that repeat a picture and its label; they count once."""
    conflicts: tuple[str, ...]
    """Pictures that the delivery names twice with two labels; the later row stands."""
    missing_values: dict[str, int]
    """Rows without a value, per column of ``labels.csv``."""
    set_aside: tuple[SetAside, ...]

    def headline(self) -> dict[str, MetadataType]:
        """The counts."""
        return {"rows": self.rows, "set_aside": len(self.set_aside), "duplicates": self.duplicate_rows}


class DataReport(Report):
    """The checks of one delivery. ``refused`` when any check is."""

    template: ClassVar[str] = "data_report.html"

    outcome: Literal["passed", "refused"]
    source_name: str
    data: str
    """The dataset's version, the digest of its accepted rows."""
    rows: int
    accepted: int
    per_class: dict[str, int]
    checks: tuple[Check, ...]
    set_aside: tuple[SetAside, ...]
    duplicates: int

    def headline(self) -> dict[str, MetadataType]:
        """The outcome and the counts."""
        return {
            "outcome": self.outcome,
            "accepted": self.accepted,
            "set_aside": len(self.set_aside),
            "per_class": dict(self.per_class),
        }

    def reasons(self) -> list[str]:
        """A sentence for each check that refused."""
        return [check.reason for check in self.checks if check.outcome == "refused"]
