"""One entry of the audit log, and how anyone can verify that the log is whole.

The log is a chain: each entry is numbered, names the digest of the entry before it, and is signed by the
account that acted. Whoever alters, removes or inserts an entry breaks the chain at that number. Only entries
at the end can be removed without a trace in the chain itself, so that a second place keeps the newest entry's
number and digest (:class:`Head`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from materializers.errors import Refused
from materializers.report import Record, json_digest
from materializers.signatures import Statement, TrustedKeys
from materializers.signed_report import SignedReport

if TYPE_CHECKING:
    from uuid import UUID

    from zenml.metadata.metadata_types import MetadataType

Act = Literal[
    "train",
    "decide",
    "gate",
    "approve",
    "reject",
    "approve-change",
    "change-policy",
    "end-to-end",
    "roll-out",
    "end-rollout",
    "release",
    "rollback",
    "withdraw",
    "stop",
    "forget",
    "readmit",
    "collect",
    "brake",
    "release-brake",
    "rebase-reference",
    "set-baseline",
    "schedule",
    "pause",
    "unschedule",
]
"""What changes what is trained, kept or served, and is therefore logged."""


class AuditEntry(SignedReport):
    """What was done to what, by whom, when and why; signed, and chained to the entry before it.

    Args:
        number: its place in the log, from 1.
        previous: digest of the entry before it; None in the first.
        act: what was done.
        subject: to what, such as ``model``, ``version`` and digests.
        by: the person's name as it was given.
        reason: why.
        at: when (UTC).
    """

    statement: ClassVar[Statement] = "audit entry"
    template: ClassVar[str] = "audit_entry.html"

    number: int = Field(ge=1)
    previous: str | None
    act: Act
    subject: dict[str, str]
    by: str
    reason: str
    at: datetime

    @property
    def event(self) -> str:
        """The digest of what was done to what, whoever did it and when; two entries of one event have it."""
        return event_of(self.act, self.subject)

    def headline(self) -> dict[str, MetadataType]:
        """What was done, and the event by which it is found; each costs ZenML's database two commits."""
        return {"act": self.act, "event": self.event}


class Head(Record):
    """The newest entry of a log, as a second place keeps it."""

    number: int = Field(ge=1)
    entry: str
    """The entry's digest."""


@dataclass(frozen=True)
class LoggedEntry:
    """One artifact version of the log.

    Attributes:
        version: its version in ZenML; a number, unless somebody made it by hand.
        recorded: the digest that ZenML recorded when it was stored; None where it has none.
        entry: what is stored there now; None where that cannot be read.
        fault: why not.
    """

    version: str
    recorded: str | None
    entry: AuditEntry | None
    fault: str | None = None

    @property
    def number(self) -> int | None:
        """Its place in the log; None where its version is none."""
        digits = self.version.isdecimal() and self.version.isascii()
        return int(self.version) if digits and self.version == str(int(self.version)) else None


def log_of(store_id: UUID) -> str:
    """The artifact that is the audit log of an artifact store."""
    return f"audit-log-{str(store_id)[:8]}"


def event_of(act: Act, subject: dict[str, str]) -> str:
    """The digest of an act and its subject."""
    return json_digest({"act": act, "subject": subject})


def verify_chain(logged: Sequence[LoggedEntry], trusted: TrustedKeys, head: Head | None) -> list[str]:
    """Look for whatever was altered, removed, inserted or not signed by who is said to have acted.

    Args:
        logged: every version of the log, in any order.
        trusted: the public keys that count.
        head: the newest entry as the second place keeps it; None where it keeps none, so that entries that
            were cut off at the end are not found.

    Returns:
        A sentence for each finding, in the order of the numbers; none when the log is whole.
    """
    strays = [f"Version {each.version!r} is no entry of the log." for each in logged if each.number is None]
    numbered = {each.number: each for each in logged if each.number is not None}
    findings = [*strays, *_gaps(sorted(numbered), head)]
    for number in sorted(numbered):
        before = numbered.get(number - 1)
        findings += _faults(number, numbered[number], before, trusted)
    return [*findings, *_head_differs(numbered, head)]


def _gaps(numbers: list[int], head: Head | None) -> Iterator[str]:
    """Numbers that are missing, before, between and behind those that are there."""
    last = max(head.number if head else 0, numbers[-1] if numbers else 0)
    expected = 1
    for number in [*numbers, last + 1]:
        if number > expected:
            missing = (
                f"Entry {expected} is" if number == expected + 1 else f"Entries {expected}–{number - 1} are"
            )
            where = "cut off at the end" if number > last else "missing"
            yield f"{missing} {where}: whatever they recorded, the log does not show it any more."
        expected = number + 1


def _faults(
    number: int, logged: LoggedEntry, before: LoggedEntry | None, trusted: TrustedKeys
) -> Iterator[str]:
    """What is wrong with one entry."""
    entry = logged.entry
    if entry is None:
        yield f"Entry {number} cannot be read: {logged.fault}."
        return
    if entry.number != number:
        yield f"Entry {number} holds entry {entry.number}: it was put in its place."
    if entry.digest != logged.recorded:
        recorded = (logged.recorded or "none")[:12]
        yield f"Entry {number} was altered: it has digest {entry.digest[:12]}, ZenML recorded {recorded}."
    try:
        entry.verify_signature(trusted)
    except Refused as refused:
        yield f"Entry {number} has no valid signature: {refused}."
    if number == 1 and entry.previous is not None:
        yield "Entry 1 follows another entry: the log begins before it."
    if before is not None and before.entry is not None and entry.previous != before.entry.digest:
        yield (
            f"Entry {number} follows an entry with digest {(entry.previous or 'none')[:12]}, but entry "
            f"{number - 1} has {before.entry.digest[:12]}: the chain is broken between them."
        )


def _head_differs(numbered: dict[int, LoggedEntry], head: Head | None) -> Iterator[str]:
    """Whether the entry that the second place names is the one that is there."""
    named = numbered.get(head.number) if head else None
    if (
        head is not None
        and named is not None
        and named.entry is not None
        and named.entry.digest != head.entry
    ):
        yield (
            f"Entry {head.number} has digest {named.entry.digest[:12]}, the tracker noted "
            f"{head.entry[:12]}: the end of the log was replaced."
        )
