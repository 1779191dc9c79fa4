"""A window of captured traffic beside the reference of the model that answered it, as one artifact."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from zenml.enums import ArtifactType
from zenml.materializers.base_materializer import BaseMaterializer

from materializers.blobs import read_blob, write_blob
from materializers.drift_reference import REFERENCE_FILE, DriftReference, read_reference
from materializers.drift_report import BusinessFigure, Captured, Performance
from materializers.errors import DamagedArtifact
from materializers.report import Record

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType

ABOUT, WINDOW, REFERENCE = "window.json", "window", "reference"


class _About(Record):
    captured: Captured
    performance: Performance
    business: BusinessFigure | None = None
    abstention_threshold: float


@dataclass(frozen=True)
class CapturedWindow:
    """What a model was asked in a time, and what it answered.

    Args:
        captured: which traffic, and what of it was left out.
        performance: how often it was right, as far as anybody said so.
        abstention_threshold: the model's; 0: it never abstains.
        window: the answers; ``label`` is the one that came later, or empty.
        reference: the model's answers on pictures that it did not learn from, or on accepted traffic.
        business: what the answers were worth; None where nobody wants it looked at.
    """

    captured: Captured
    performance: Performance
    abstention_threshold: float
    window: DriftReference = field(repr=False)
    reference: DriftReference = field(repr=False)
    business: BusinessFigure | None = None


class CapturedWindowMaterializer(BaseMaterializer):
    """Stores a :class:`CapturedWindow`: both tables, where ``--forget`` finds them; what it is, last."""

    ASSOCIATED_TYPES = (CapturedWindow,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.DATA

    def save(self, captured: CapturedWindow) -> None:
        """Write the tables, then what they are."""
        for name, table in ((WINDOW, captured.window), (REFERENCE, captured.reference)):
            write_blob(self.artifact_store, f"{self.uri}/{name}/{REFERENCE_FILE}", table.to_bytes())
        write_blob(self.artifact_store, f"{self.uri}/{ABOUT}", _about(captured).model_dump_json().encode())

    def load(self, data_type: type[Any]) -> CapturedWindow:
        """Read them back.

        Raises:
            DamagedArtifact: a file is missing or cannot be read.
        """
        try:
            about = _About.model_validate_json(read_blob(self.artifact_store, f"{self.uri}/{ABOUT}"))
            window, reference = (
                read_reference(self.artifact_store, f"{self.uri}/{name}/{REFERENCE_FILE}")
                for name in (WINDOW, REFERENCE)
            )
        except (OSError, ValidationError) as error:
            raise DamagedArtifact(
                f"The window of traffic at {self.uri} cannot be read ({error}). Look again: "
                "python run.py --monitor --no-cache"
            ) from error
        return CapturedWindow(
            captured=about.captured,
            performance=about.performance,
            business=about.business,
            abstention_threshold=about.abstention_threshold,
            window=window,
            reference=reference,
        )

    def extract_metadata(self, captured: CapturedWindow) -> dict[str, MetadataType]:
        """What was looked at."""
        about = captured.captured
        return {
            "version": about.version,
            "pictures": about.pictures,
            "labels": captured.performance.accuracy.n,
        }

    def compute_content_hash(self, captured: CapturedWindow) -> str | None:
        """Of everything: the same window is not tested twice."""
        digest = hashlib.sha256(_about(captured).digest.encode())
        for table in (captured.window, captured.reference):
            digest.update(hashlib.sha256(table.to_bytes()).digest())
        return digest.hexdigest()


def _about(captured: CapturedWindow) -> _About:
    return _About(
        captured=captured.captured,
        performance=captured.performance,
        business=captured.business,
        abstention_threshold=captured.abstention_threshold,
    )
