"""What was found in a delivery, and whether anyone may train on it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import SerializerFunctionWrapHandler, field_serializer

from materializers.report import Record, Report, counted
from materializers.watched import Watched

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType

Outcome = Literal["passed", "refused", "warned", "not_assessed"]
Severity = Literal["refuse", "warn"]


class Check(Record):
    """One check of the data: what was measured beside its limit, and what happens beyond it."""

    name: str
    outcome: Outcome
    severity: Severity = "refuse"  # a report of format 1 names none
    measured: float | None
    limit: float | None
    reason: str

    @property
    def refuses(self) -> bool:
        """Whether nobody may train: what must be assessed and was not is never taken as passed."""
        return self.outcome == "refused" or (self.outcome == "not_assessed" and self.severity == "refuse")


class SetAside(Record):
    """One picture that nobody trains on, and why."""

    path: str
    label: str | None
    reason: str
    detail: str


ROWS_SINCE = 3
"""The format of a screening that says how many rows correct or withdraw."""
DIGEST = re.compile("[0-9a-f]{64}")
NAMES_SHOWN = 5
DIGEST_SHOWN = 12


class Corrections(Record):
    """What a delivery says about pictures that earlier ones brought."""

    asked: int = 0
    """Rows that correct or withdraw a picture; those that ``unknown`` names matched none."""
    relabelled: int = 0
    """Pictures that have another label now."""
    amended: int = 0
    """Pictures of which another column changed."""
    withdrawn: int = 0
    masked: int = 0
    """Pictures whose place a masked one took, because the policy was another when they came."""
    unknown: tuple[str, ...] = ()
    """Names (``image_id``) that the delivery corrects or withdraws and that no earlier one brought."""

    @classmethod
    def of_all(cls, parts: Sequence[Corrections]) -> Corrections:
        """What several deliveries say, one after another."""
        return cls(
            asked=sum(part.asked for part in parts),
            relabelled=sum(part.relabelled for part in parts),
            amended=sum(part.amended for part in parts),
            withdrawn=sum(part.withdrawn for part in parts),
            masked=sum(part.masked for part in parts),
            unknown=tuple(name for part in parts for name in part.unknown),
        )

    @property
    def rows(self) -> int:
        """All of them; of what was stored before rows were counted, as many as are known."""
        return self.asked or self.relabelled + self.amended + self.withdrawn + len(self.unknown)

    @property
    def first_unknown(self) -> str:
        """The first names that match no picture, digests cut short."""
        first = self.unknown[:NAMES_SHOWN]
        return ", ".join(name[:DIGEST_SHOWN] if DIGEST.fullmatch(name) else name for name in first)

    @property
    def said(self) -> str:
        """What was asked, what it came to, and what matched nothing, in one line."""
        done = {
            "withdrawn": self.withdrawn,
            "relabelled": self.relabelled,
            "corrected in another value": self.amended,
        }
        came_to = [f"{count:,} {what}" for what, count in done.items() if count]
        if self.unknown:
            came_to.append(f"no stored picture matches {len(self.unknown):,} ({self.first_unknown})")
        return f"{counted(self.rows, 'correction')}: {', '.join(came_to) or 'nothing changed'}"


class Screening(Report):
    """What reading one delivery found, picture by picture, before anything is checked as a whole."""

    template: ClassVar[str] = "screening.html"
    formats: ClassVar[tuple[int, ...]] = (1, 2, 3, 4)
    later_fields: ClassVar[dict[str, int]] = {"changes": 2, "checks": 2, "watched": 4}

    format_version: int = 4
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
    changes: Corrections = Corrections()
    checks: tuple[Check, ...] = ()
    """What only the reader of a delivery can judge, such as its age: later steps may answer from a cache."""
    watched: Watched = Watched()
    """What a watched place has, and what of it the dataset has."""

    @field_serializer("changes", mode="wrap")
    def _changes_in_their_format(
        self, changes: Corrections, write: SerializerFunctionWrapHandler
    ) -> dict[str, Any]:
        """What the delivery says of stored pictures, without the rows where the report's format has none."""
        written: dict[str, Any] = write(changes)
        if self.format_version < ROWS_SINCE:
            del written["asked"]
        return written

    @classmethod
    def of_all(cls, source_name: str, parts: Mapping[str, Screening]) -> Screening:
        """What reading several deliveries found, the checks apart.

        Args:
            source_name: of who delivers.
            parts: each delivery's own, by its name, in their order; a picture is told by both.
        """
        missing: Counter[str] = Counter()
        for part in parts.values():
            missing.update(part.missing_values)
        return cls(
            source_name=source_name,
            rows=sum(part.rows for part in parts.values()),
            duplicate_rows=sum(part.duplicate_rows for part in parts.values()),
            conflicts=tuple(f"{name}/{path}" for name, part in parts.items() for path in part.conflicts),
            missing_values=dict(missing),
            set_aside=tuple(
                each.model_copy(update={"path": f"{name}/{each.path}"})
                for name, part in parts.items()
                for each in part.set_aside
            ),
            changes=Corrections.of_all([part.changes for part in parts.values()]),
        ).with_pictures({name: png for part in parts.values() for name, png in part.pictures.items()})

    def headline(self) -> dict[str, MetadataType]:
        """The counts."""
        return {"rows": self.rows, "set_aside": len(self.set_aside), "duplicates": self.duplicate_rows}


class Quantiles(Record):
    """How a number is spread over the pictures."""

    least: float
    lower: float
    """A quarter of the pictures is at or below it."""
    median: float
    upper: float
    """Three quarters are at or below it."""
    most: float


class Sizes(Record):
    """Width and height of the accepted pictures as they are shown, upright, in pixels."""

    width: Quantiles
    height: Quantiles


class SuspiciousLabel(Record):
    """A picture whose label others that look like it do not have."""

    image_id: str
    label: str
    likely: str
    """The label that they have."""
    confidence: float
    """Of the classifier that was trained without this picture, in ``likely``."""


class Relabelled(Record):
    """How many pictures went from one label to another."""

    old: str
    new: str
    pictures: int


class Comparison(Record):
    """What changed against the dataset that this one grew from."""

    previous: str
    """That dataset's version."""
    added: dict[str, int]
    """New pictures per class."""
    withdrawn: dict[str, int]
    """Pictures that are not in this one, per class that they had: of a delivery taken alone, all it lacks."""
    relabelled: tuple[Relabelled, ...]
    renamed: dict[str, str]
    """Old name → new name of a class."""
    retired: tuple[str, ...]
    """Classes that had pictures and have none."""
    per_class: dict[str, int]
    """Pictures per class before."""


class DataReport(Report):
    """The checks of one dataset. ``refused`` when one of them refuses."""

    template: ClassVar[str] = "data_report.html"
    formats: ClassVar[tuple[int, ...]] = (1, 2, 3)
    later_fields: ClassVar[dict[str, int]] = dict.fromkeys(
        ("quarantined", "sizes", "near_duplicates", "suspicious_labels", "changes"), 2
    ) | dict.fromkeys(("watched", "newest_captured_at"), 3)

    format_version: int = 3
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
    quarantined: int = 0
    """Pictures of this delivery that lie in the quarantine and can come back."""
    sizes: Sizes | None = None
    """None where no picture was accepted."""
    near_duplicates: tuple[tuple[str, ...], ...] = ()
    """Groups of pictures (``image_id``) that are nearly the same."""
    suspicious_labels: tuple[SuspiciousLabel, ...] = ()
    """The most confident disagreement first."""
    changes: Comparison | None = None
    """None where this dataset grew from none."""
    watched: Watched = Watched()
    """What a watched place has, and what of it the dataset has."""
    newest_captured_at: datetime | None = None
    """When the newest of the accepted pictures was taken; None where no row says so."""

    @field_serializer("checks", mode="wrap")
    def _in_their_format(
        self, checks: tuple[Check, ...], write: SerializerFunctionWrapHandler
    ) -> list[dict[str, Any]]:
        """Each check, without its severity where the report's format has none."""
        written: list[dict[str, Any]] = list(write(checks))
        if self.format_version > 1:
            return written
        return [{name: value for name, value in each.items() if name != "severity"} for each in written]

    def headline(self) -> dict[str, MetadataType]:
        """The outcome and the counts."""
        return {
            "outcome": self.outcome,
            "accepted": self.accepted,
            "set_aside": len(self.set_aside),
            "warned": sum(check.outcome == "warned" for check in self.checks),
            "near_duplicates": len(self.near_duplicates),
            "suspicious_labels": len(self.suspicious_labels),
            "per_class": dict(self.per_class),
            "deliveries_taken": len(self.watched.taken),
            "deliveries_incomplete": len(self.watched.incomplete),
            "deliveries_refused": len(self.watched.refused),
        }

    @property
    def to_deliver_again(self) -> int:
        """Pictures that are set aside, were not forgotten, and cannot be put back from the quarantine."""
        lost = sum(each.reason != "forgotten" for each in self.set_aside)
        return max(0, lost - self.quarantined)

    def reasons(self) -> list[str]:
        """A sentence for each check that refuses."""
        return [check.reason for check in self.checks if check.refuses]
