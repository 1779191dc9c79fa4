"""What is released, where, and on what evidence."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Literal

from materializers.approval import Approval
from materializers.report import Record, Report
from materializers.verdict import Verdict

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType

Environment = Literal["staging", "production"]
Mode = Literal["full"]


class Arm(Record):
    """One version in a release, with the evidence that it may be served."""

    version: int
    model_digest: str
    model_uri: str
    verdict: Verdict
    approval: Approval | None = None
    signature: str | None = None
    """The gate's, of model and verdict; None in a release of before models were signed."""


class Release(Report):
    """One environment's release: the candidate, and the champion that it replaces.

    ``status`` is ``proposed`` until a deployer has applied it, ``live`` once it serves all traffic,
    ``refused`` when a gate forbade it (``reasons`` says why; what is served is unchanged).
    ``recorded`` is False until registry and run records agree with what the deployer holds.
    ``restored`` is True for a release that was put back in the place of ``champion``; ``by`` and ``why`` say
    who did that and why, for the audit log's entry, which a later command may write.
    """

    template: ClassVar[str] = "release.html"
    formats: ClassVar[tuple[int, ...]] = (1, 2)
    later_fields: ClassVar[dict[str, int]] = {"by": 2, "why": 2}

    format_version: int = 2
    model_name: str
    environment: Environment
    mode: Mode = "full"
    share: float = 1.0
    champion: Arm | None = None
    candidate: Arm | None = None
    status: Literal["proposed", "live", "refused"] = "proposed"
    reasons: tuple[str, ...] = ()
    url: str | None = None
    since: datetime | None = None
    recorded: bool = False
    restored: bool = False
    by: str = ""
    why: str = ""

    def headline(self) -> dict[str, MetadataType]:
        """What is released where."""
        version = self.candidate.version if self.candidate else None
        values: dict[str, MetadataType] = {"environment": self.environment, "status": self.status}
        if version is not None:
            values["version"] = version
        if self.reasons:
            values["reasons"] = list(self.reasons)
        return values
