"""What is released, where, and on what evidence."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from materializers.approval import Approval
from materializers.report import Record, Report
from materializers.verdict import Verdict

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType

Environment = Literal["staging", "production"]
Mode = Literal["full", "canary", "ab", "shadow"]
"""``full``: all traffic at once. ``canary``: a share of it, in stages. ``ab``: a share of the request keys,
which stay where they are. ``shadow``: a copy of it, whose answers nobody gets."""
Status = Literal["proposed", "rolling_out", "live", "rolled_back", "refused"]


class Arm(Record):
    """One version in a release, with the evidence that it may be served."""

    version: int
    model_digest: str
    model_uri: str
    verdict: Verdict
    approval: Approval | None = None
    signature: str | None = None
    """The gate's, of model and verdict; None in a release of before models were signed."""

    @property
    def approved(self) -> bool:
        """Whether it says that a person approved it for production, on its present verdict."""
        given = self.approval
        return (
            given is not None and given.decision == "approved" and given.is_about(self.version, self.verdict)
        )


class Release(Report):
    """One environment's release: the candidate, and the champion that it replaces.

    ``status`` is ``proposed`` until a deployer has applied it, ``rolling_out`` while the champion serves
    beside the candidate, ``live`` once the candidate serves all traffic, ``rolled_back`` when it was taken
    out again while it rolled out, ``refused`` when a gate forbade it (``reasons`` says why; what is served
    is unchanged).
    ``share`` is what the candidate answers of the traffic: 1 in mode ``full``, 0 in mode ``shadow``.
    ``rollout`` names one attempt of rolling out, ``since`` is its begin, ``stage`` counts the shares that it
    went through, from 0, and ``stage_since`` is when its present share began.
    ``recorded`` is False until registry and run records agree with what the deployer holds.
    ``restored`` is True for a release that was put back in the place of ``champion``; ``by`` and ``why`` say
    who did that and why, for the audit log's entry, which a later command may write.
    """

    template: ClassVar[str] = "release.html"
    formats: ClassVar[tuple[int, ...]] = (1, 2, 3)
    later_fields: ClassVar[dict[str, int]] = {
        "by": 2,
        "why": 2,
        "rollout": 3,
        "stage": 3,
        "stage_since": 3,
    }

    format_version: int = 3
    model_name: str
    environment: Environment
    mode: Mode = "full"
    share: float = Field(default=1.0, ge=0, le=1)
    champion: Arm | None = None
    candidate: Arm | None = None
    status: Status = "proposed"
    reasons: tuple[str, ...] = ()
    url: str | None = None
    since: datetime | None = None
    rollout: str = ""
    stage: int = Field(default=0, ge=0)
    stage_since: datetime | None = None
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
