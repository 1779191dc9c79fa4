"""A person's approval of one version, or of one change, and the check that it still holds."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer

from materializers.errors import Refused
from materializers.report import Record
from materializers.signatures import Statement, TrustedKeys
from materializers.signed_report import SignedReport
from materializers.verdict import Verdict

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType


class Change(Record):
    """What a person approves before a run: what the run would do otherwise than the live champion."""

    architecture: str
    source_name: str
    policy: str
    compliance: str | None = None
    """Digest of who may approve; None in a change of before that was part of it."""

    @model_serializer(mode="wrap")
    def _as_it_was_approved(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = write(self)
        if self.compliance is None:
            del values["compliance"]
        return values


class Approval(SignedReport):
    """Who approved or rejected what, when and why. It moves nothing by itself."""

    statement: ClassVar[Statement] = "approval"
    template: ClassVar[str] = "approval.html"
    formats: ClassVar[tuple[int, ...]] = (1, 2)
    later_fields: ClassVar[dict[str, int]] = {"signature": 2}

    format_version: int = 2
    decision: Literal["approved", "rejected"]
    model_name: str
    version: int | None = None
    change: Change | None = None
    model_digest: str | None = None
    report_digest: str | None = None
    policy_digest: str | None = None
    by: str
    reason: str
    at: datetime

    @property
    def logged_subject(self) -> dict[str, str]:
        """By what the audit log's entry of the decision is known."""
        about = {"model": self.model_name, "approval": self.digest}
        return about | ({"change": self.change.digest} if self.change else {"version": str(self.version)})

    def is_about(self, version: int, verdict: Verdict) -> bool:
        """Whether it is a decision on this version with the evidence of this verdict."""
        named = (self.version, self.model_name, self.model_digest, self.report_digest, self.policy_digest)
        evidence = verdict.evidence
        return named == (version, verdict.model_name, evidence.model, evidence.report, evidence.policy)

    def headline(self) -> dict[str, MetadataType]:
        """Who decided what."""
        return {"decision": self.decision, "by": self.by, "actor": self.actor, "reason": self.reason}


def verify_approval(
    approval: Approval | None,
    *,
    version: int,
    verdict: Verdict,
    recorded: str | None,
    trusted: TrustedKeys,
) -> None:
    """Check that a person approved exactly this model, report and policy.

    Args:
        approval: as it is stored now; None when there is none.
        version: the registered version that is to be released.
        verdict: the version's verdict, already verified.
        recorded: the approval's digest in the registry.
        trusted: the public keys of whoever may sign.

    Raises:
        Refused: there is none, it was altered, nobody who may signed it, it is a rejection, or it is about
            other evidence.
    """
    mend = f'python run.py --approve {version} --by WHO --reason "…"'
    if approval is None:
        raise Refused(f"Version {version} has no approval, and production needs one: {mend}")
    if approval.digest != recorded:
        raise Refused(f"The approval of version {version} was altered after it was given: {mend}")
    try:
        approval.verify_signature(trusted)
    except Refused as refusal:
        raise Refused(f"The approval of version {version} does not count: {refusal}. {mend}") from refusal
    if approval.decision != "approved":
        raise Refused(f"Version {version} was rejected by {approval.by}: {approval.reason}")
    if not approval.is_about(version, verdict):
        raise Refused(f"The approval of version {version} is about other evidence than its verdict: {mend}")
