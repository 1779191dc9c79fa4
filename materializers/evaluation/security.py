"""Whether anything in a model directory could execute, and what is known against the libraries it runs on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from materializers.evaluation.metric import Measured, Metric, Section
from materializers.report import Record, Report

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType

Standing = Literal["accepted", "expired", "unlisted"]


class UnexpectedFile(Record):
    """One thing of a model directory that does not belong there."""

    file: str
    reason: str


class BillOfMaterials(Record):
    """A software bill of materials (CycloneDX) of one lock file; the bill itself is in the tracker's run."""

    lock: str
    """The lock file, relative to the project."""
    lock_digest: str
    packages: int
    sbom_digest: str
    """The sha256 (hex) of the bill's JSON."""


class Advisory(Record):
    """One known vulnerability of one package of a lock file."""

    id: str
    aliases: tuple[str, ...] = ()
    """Its other names, such as a CVE number."""
    package: str
    version: str
    lock: str
    fixed_in: tuple[str, ...] = ()


class JudgedAdvisory(Record):
    """An advisory and what a person decided on it."""

    advisory: Advisory
    standing: Standing
    reason: str | None = None
    """Why it is accepted, or was."""
    expires: date | None = None


class AdvisoryAudit(Report):
    """What a source of advisories knew of every package of the lock files, at one time."""

    template: ClassVar[str] = "advisory_audit.html"

    at: datetime
    source: str
    locks: dict[str, str]
    """The sha256 (hex) of each lock file, by its path relative to the project."""
    packages: int
    found: tuple[Advisory, ...] = ()
    not_run: str | None = None
    """Why nothing, or not everything, could be asked, in one sentence; None: every package was."""

    def headline(self) -> dict[str, MetadataType]:
        """When, and how many were found."""
        return {"at": self.at.isoformat(), "packages": self.packages, "advisories": len(self.found)}


class Security(Section):
    """The scan of a model directory, and the libraries that it runs on."""

    files: int = 0
    """How many were scanned."""
    unexpected: tuple[UnexpectedFile, ...] = ()
    bills: tuple[BillOfMaterials, ...] = ()
    audited_at: datetime | None = None
    packages: int = 0
    """How many were audited."""
    advisories: tuple[JudgedAdvisory, ...] = Field(default=())
    advisories_not_assessed: str | None = None

    def measured(self) -> Iterator[Measured]:
        """Files that do not belong there, and advisories that nobody accepted."""
        scanned = self.not_assessed is None
        unexpected = (
            Metric(value=float(len(self.unexpected)), n=self.files) if scanned and self.files else None
        )
        why_not = self.not_assessed or (None if unexpected else "no file was scanned")
        yield Measured(metric="unexpected_files", value=unexpected, reason=why_not)
        unlisted, reason = None, self.not_assessed or self.advisories_not_assessed
        if reason is None and not self.packages:
            reason = "no package was audited"
        if reason is None:
            refused = [each for each in self.advisories if each.standing != "accepted"]
            unlisted = Metric(value=float(len(refused)), n=self.packages)
        yield Measured(metric="unlisted_advisories", value=unlisted, reason=reason)
