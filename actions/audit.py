"""Verify the audit log and show it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from actions.result import ActionResult
from materializers.audit_entry import AuditEntry
from materializers.errors import Refused, ServiceUnreachable
from materializers.evidence import read_versions
from materializers.signatures import TrustedKeys
from steps.registry.agreement import disagreements
from steps.registry.audit import verify_log


def audit(model_name: str, trusted: TrustedKeys) -> ActionResult:
    """Read every entry, check numbers, chain, signatures and end, and say what does not hold.

    What the registry says of a model's versions and the log does not is one such thing.

    Args:
        model_name: the registered model; the log itself is of all models.
        trusted: the public keys that the stack file lists.

    Returns:
        The entries, the oldest first, whatever was found; refused where anything was.

    Raises:
        ServiceUnreachable: the artifact store does not answer.
    """
    entries, findings = verify_log(trusted)
    with suppress(ServiceUnreachable):  # a tracker that does not answer is among the findings
        findings += disagreements(model_name, read_versions(model_name), trusted)
    return ActionResult(
        action="audit",
        status="refused" if findings else "done",
        reasons=(*findings, _summary(entries, whole=not findings)),
        details={"entries": [_shown(entry) for entry in entries]},
        exit_code=Refused.exit_code if findings else 0,
    )


def _summary(entries: list[AuditEntry], *, whole: bool) -> str:
    """How far the log goes; who notes that digest elsewhere can tell later whether the end is the same."""
    if not entries:
        return "The audit log has no entry."
    last = entries[-1]
    said = "Every signature and the chain hold. " if whole else ""
    return f"{said}Read to entry {last.number}, whose digest is {last.digest}"


def _shown(entry: AuditEntry) -> dict[str, Any]:
    """An entry as the JSON of a call has it."""
    fields = entry.model_dump(mode="json", exclude={"format_version", "previous", "signature"})
    return {**fields, "digest": entry.digest}
