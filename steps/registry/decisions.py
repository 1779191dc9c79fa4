"""What a person last decided on a version, by the audit log: signed, and no tag of the registry.

Whoever can write to the stores can put an older approval back in the place of a rejection, with the tags that
fit. The entry of the rejection they cannot take out unseen, nor write one that follows it.
"""

from __future__ import annotations

from materializers.audit_entry import Act, AuditEntry
from materializers.audit_log import sound_entries
from materializers.errors import Refused
from materializers.release import Arm
from materializers.signatures import TrustedKeys

DECISIONS: tuple[Act, ...] = ("approve", "reject")


def last_decision(model_name: str, version: int, trusted: TrustedKeys) -> AuditEntry | None:
    """The newest entry of an approval or a rejection of a version; None where nobody decided.

    Raises:
        ServiceUnreachable: the artifact store does not answer.
    """
    return last_entry(DECISIONS, model_name, version, trusted)


def last_entry(
    acts: tuple[Act, ...], model_name: str, version: int, trusted: TrustedKeys
) -> AuditEntry | None:
    """The newest entry of one of these acts on a version; None where there is none.

    Raises:
        ServiceUnreachable: the artifact store does not answer.
    """
    about = {"model": model_name, "version": str(version)}
    found = [entry for act in acts for entry in sound_entries(act, about, trusted)]
    return max(found, key=lambda entry: entry.number, default=None)


def last_judgement(model_name: str, version: int, trusted: TrustedKeys) -> AuditEntry | None:
    """The gate's newest entry on a version that came to something, which stands; where none did, the newest.

    Raises:
        ServiceUnreachable: the artifact store does not answer.
    """
    found = sound_entries("gate", {"model": model_name, "version": str(version)}, trusted)
    return max(found, key=standing, default=None)


def standing(entry: AuditEntry) -> tuple[bool, int]:
    """What the entries on one thing are ordered by; the last one stands.

    A judgement that came to nothing stands behind all that came to something.
    """
    return entry.subject.get("verdict") != "not_assessed", entry.number


def require_gated(model_name: str, arm: Arm, trusted: TrustedKeys) -> AuditEntry:
    """The gate's last entry on a version in the audit log, which has to be of the verdict that releases it.

    A verdict that passed before, put back with every tag in the place of a refusal, is signed all the same.

    Raises:
        Refused: the last one is another, or the log has none.
        ServiceUnreachable: the artifact store does not answer.
    """
    last = last_judgement(model_name, arm.version, trusted)
    if last is None or last.subject.get("verdict_digest") != arm.verdict.digest:
        found = "none" if last is None else f"{last.subject.get('verdict')}, entry {last.number}"
        raise Refused(
            f"The gate's last verdict on version {arm.version} by the audit log is {found}, not the one that "
            "it would be released on: it was put back, or the training was cut short before it was logged. "
            "Train again: python run.py --train --source PATH"
        )
    return last


def require_approval_logged(model_name: str, arm: Arm, trusted: TrustedKeys) -> None:
    """Check by the audit log that the last decision on a version is the approval that it has.

    Raises:
        Refused: the last decision is another one, or the log has none.
        ServiceUnreachable: the artifact store does not answer.
    """
    last = last_decision(model_name, arm.version, trusted)
    given = arm.approval.digest if arm.approval else "none"
    if last is None or last.act != "approve" or last.subject.get("approval") != given:
        raise Refused(
            f"The audit log has no sound entry of the act 'approve' on model {model_name}, version "
            f"{arm.version}, approval {given[:12]} as the last decision: it was removed or altered, or "
            "the command was cut short before it was logged. See python run.py --audit, then: "
            f'python run.py --approve {arm.version} --by WHO --reason "…"'
        )
