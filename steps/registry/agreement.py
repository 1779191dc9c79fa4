"""Where the registry says otherwise of a version than the audit log, or the log says nothing at all.

Anyone who can write to the registry can edit a tag, and a command that was killed between the registry and
the log leaves an act without an entry. The log is signed and chained: what it does not have does not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from materializers.audit_entry import Act, AuditEntry
from materializers.audit_log import sound_entries
from materializers.evidence import DECISION, RegisteredVersion
from materializers.signatures import TrustedKeys
from steps.registry.decisions import DECISIONS, standing

MADE: tuple[Act, ...] = ("train", "gate")
"""What a version comes to be by; each entry names the tags that it stands for."""
DECIDED = {"approve": "approved", "reject": "rejected"}
SHOWN = 40
"""Characters of a tag that a message repeats."""


def disagreements(model_name: str, versions: Sequence[RegisteredVersion], trusted: TrustedKeys) -> list[str]:
    """A sentence for each thing that the registry says of a version and the log does not.

    Args:
        model_name: the registered model.
        versions: of it, as the registry has them.
        trusted: the public keys whose entries count.

    Raises:
        ServiceUnreachable: the artifact store does not answer.
    """
    last: dict[tuple[str, str], AuditEntry] = {}
    for act in (*MADE, *DECISIONS):
        for entry in sound_entries(act, {"model": model_name}, trusted):
            key = ("decision" if act in DECISIONS else act, entry.subject.get("version", ""))
            before = last.get(key)
            last[key] = entry if before is None or standing(before) < standing(entry) else before
    found = list(_without_entry(versions, last))
    for version in versions:
        for act in MADE:
            made = last.get((act, str(version.version)))
            found += _edited(version, made) if made else ()
        found += _undecided(version, last.get(("decision", str(version.version))))
    return found


def _without_entry(
    versions: Sequence[RegisteredVersion], last: dict[tuple[str, str], AuditEntry]
) -> Iterator[str]:
    """Versions that were registered and never logged."""
    bare = [one.version for one in versions if any((act, str(one.version)) not in last for act in MADE)]
    if bare:
        named = ", ".join(str(version) for version in sorted(bare))
        yield (
            f"The audit log does not say how version {named} was trained or judged: the training was cut "
            "short before it was logged, or is of before there was a log, or the entry was removed. Train "
            "again with the same settings: python run.py --train --source PATH"
        )


def _edited(version: RegisteredVersion, entry: AuditEntry) -> Iterator[str]:
    """Tags that say otherwise than the entry of when they were written."""
    for key, logged in entry.subject.items():
        tag = version.tags.get(key)
        if key not in ("model", "version") and tag != logged:
            yield (
                f"The registry says that the {key.replace('_', ' ')} of version {version.version} is "
                f"{(tag or 'nothing')[:SHOWN]}, entry {entry.number} ({entry.act}) of the audit log that it "
                f"is {logged[:SHOWN]}: the registry was edited, or a training was cut short. Put it back, or "
                "train again with the same settings: python run.py --train --source PATH"
            )


def _undecided(version: RegisteredVersion, entry: AuditEntry | None) -> Iterator[str]:
    """What persons decided by the registry's tags and, otherwise, by the log."""
    tags = version.tags.get(DECISION), version.tags.get("approval_digest")
    said = entry and f"{DECIDED[entry.act]} by {entry.by.strip()}: {entry.reason.strip()}"
    if tags == (said, entry.subject.get("approval") if entry else None):
        return
    number = version.version
    logged = f"entry {entry.number} of the audit log is the last, '{said}'" if entry else "no entry has it"
    yield (
        f"The registry says that version {number} was '{tags[0] or 'not decided on'}' (decision "
        f"{(tags[1] or 'none')[:12]}), but {logged}: the command was cut short, or one of them was edited. "
        f'Decide again: python run.py --approve {number} --by WHO --reason "…", or --reject {number}'
    )
