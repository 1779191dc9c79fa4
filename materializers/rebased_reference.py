"""Accepted traffic as a reference: what later windows of exactly that model are compared with.

The table lies beside the JSON and outside its digest, so that a picture can be erased from it; the JSON names
the digest of every row, so that none can be altered or put in.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import PrivateAttr

from materializers.blobs import write_blob
from materializers.drift_reference import REFERENCE_FILE, DriftReference, read_reference
from materializers.errors import DamagedArtifact, Refused
from materializers.release import Environment
from materializers.report import Report, ReportMaterializer

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType


class RebasedReference(Report):
    """What one version answered in a time that a person accepted."""

    template: ClassVar[str] = "rebased_reference.html"

    model_name: str
    environment: Environment
    version: int
    model_digest: str
    since: datetime
    until: datetime
    answered: int
    """Pictures of that time, of which ``rows`` were taken."""
    measured: int
    """Of the rows those whose picture was kept."""
    by: str
    reason: str
    at: datetime
    rows: tuple[str, ...]
    """The digest of each row of the table."""

    _reference: DriftReference | None = PrivateAttr(default=None)

    @property
    def reference(self) -> DriftReference:
        """The table.

        Raises:
            ValueError: it was not given.
        """
        if self._reference is None:
            raise ValueError("A rebased reference was made without its table.")
        return self._reference

    def with_reference(self, reference: DriftReference) -> Self:
        """The same with this table beside it."""
        copy = self.model_copy()
        copy._reference = reference
        return copy

    def erased(self) -> int:
        """How many rows were taken out of the table since it was made.

        Raises:
            Refused: a row, the model or its classes are others than they were.
        """
        named, present = Counter(self.rows), Counter(self.reference.row_digests())
        strange = (present - named).total()
        if strange or self.reference.model != self.model_digest:
            what = f"{strange:,} of its rows are" if strange else "its model is"
            raise Refused(f"{what} not what was accepted")
        return (named - present).total()

    def headline(self) -> dict[str, MetadataType]:
        """Which traffic, and how much of it."""
        return {"version": self.version, "environment": self.environment, "pictures": len(self.rows)}


class RebasedReferenceMaterializer(ReportMaterializer):
    """Stores a :class:`RebasedReference`: its table, where ``--forget`` finds it, then the JSON."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (RebasedReference,)

    def save(self, report: Report) -> None:
        """Write the table, then what it is."""
        if isinstance(report, RebasedReference):
            write_blob(self.artifact_store, f"{self.uri}/{REFERENCE_FILE}", report.reference.to_bytes())
        super().save(report)

    def load(self, data_type: type[Any]) -> RebasedReference:
        """Read both.

        Raises:
            DamagedArtifact: one is missing or cannot be read.
        """
        report: RebasedReference = super().load(RebasedReference)
        try:
            reference = read_reference(self.artifact_store, f"{self.uri}/{REFERENCE_FILE}")
        except OSError as error:
            raise DamagedArtifact(f"The rebased reference at {self.uri} cannot be read ({error})") from error
        return report.with_reference(reference)
