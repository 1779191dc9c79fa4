"""Whatever is altered, removed or inserted in the audit log is found and named by its number."""

import re
from collections.abc import Callable

import pytest
from pydantic import ValidationError

from materializers.audit_entry import AuditEntry, Head, LoggedEntry, event_of, verify_chain
from materializers.signatures import PrivateKey, Signer, TrustedKeys, make_key_pair
from tests.materializers.examples import audit_entry

PAIRS = {account: make_key_pair() for account in ("anna", "berta", "stranger")}
SIGNERS = {name: Signer(name, PrivateKey.from_pem(pair[0], named=name)) for name, pair in PAIRS.items()}
TRUSTED = TrustedKeys(gate=make_key_pair()[1], actors={name: PAIRS[name][1] for name in ("anna", "berta")})


def chain(length: int) -> list[AuditEntry]:
    """A log in which two accounts take turns."""
    entries: list[AuditEntry] = []
    for number in range(1, length + 1):
        previous = entries[-1].digest if entries else None
        account = ("anna", "berta")[number % 2]
        entry = audit_entry(number=number, previous=previous, actor=account, reason=f"for reason {number}")
        entries.append(entry.signed_by(SIGNERS[account]))
    return entries


def logged(entries: list[AuditEntry]) -> list[LoggedEntry]:
    """As ZenML and the artifact store hold them, each under its own number."""
    return [LoggedEntry(version=str(each.number), recorded=each.digest, entry=each) for each in entries]


def head_of(entries: list[AuditEntry]) -> Head:
    """What the second place keeps of a log."""
    return Head(number=entries[-1].number, entry=entries[-1].digest)


def altered(entry: AuditEntry, *, recorded: str | None = None, **fields: object) -> LoggedEntry:
    """An entry whose stored file was edited; its record too, where one is given."""
    edited = AuditEntry.model_validate(entry.model_dump() | fields)
    return LoggedEntry(version=str(entry.number), recorded=recorded or entry.digest, entry=edited)


def test_a_whole_log_has_no_finding() -> None:
    """Several accounts, in any order of reading, the end at the entry that was noted or behind it."""
    entries = chain(5)
    assert verify_chain(logged(entries)[::-1], TRUSTED, head_of(entries)) == []
    assert verify_chain(logged(entries), TRUSTED, head_of(entries[:3])) == []


def test_a_log_that_nobody_wrote_yet_is_whole() -> None:
    """The first command of a stack finds nothing to complain of."""
    assert verify_chain([], TRUSTED, None) == []


Damage = Callable[[list[AuditEntry], list[LoggedEntry]], list[LoggedEntry]]


def edited_with_its_record(entries: list[AuditEntry], log: list[LoggedEntry]) -> list[LoggedEntry]:
    """Artifact store and ZenML's database were both altered."""
    edited = AuditEntry.model_validate(entries[2].model_dump() | {"by": "Somebody Else"})
    return [*log[:2], altered(entries[2], by="Somebody Else", recorded=edited.digest), *log[3:]]


def forged(entries: list[AuditEntry], log: list[LoggedEntry]) -> list[LoggedEntry]:
    """Somebody without anna's key wrote an entry in her name in the place of another."""
    own = SIGNERS["stranger"].key
    entry = audit_entry(number=3, previous=entries[1].digest, actor="anna")
    entry = entry.signed_by(Signer("anna", own))
    return [*log[:2], LoggedEntry(version="3", recorded=entry.digest, entry=entry), *log[3:]]


def unlisted(entries: list[AuditEntry], log: list[LoggedEntry]) -> list[LoggedEntry]:
    """An account that the stack file does not list appended an entry."""
    entry = audit_entry(number=6, previous=entries[-1].digest, actor="stranger")
    entry = entry.signed_by(SIGNERS["stranger"])
    return [*log, LoggedEntry(version="6", recorded=entry.digest, entry=entry)]


def renumbered(entries: list[AuditEntry], log: list[LoggedEntry]) -> list[LoggedEntry]:
    """Entry 3 was removed, and those behind it moved forward."""
    moved = [LoggedEntry(version=str(each.number - 1), recorded=each.digest, entry=each) for each in entries]
    return [*log[:2], *moved[3:]]


DAMAGES: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "one removed": (
        lambda _, log: [*log[:2], *log[3:]],
        ("Entry 3 is missing",),
    ),
    "several removed": (lambda _, log: [log[0], *log[3:]], ("Entries 2–3 are missing",)),
    "the first removed": (lambda _, log: log[1:], ("Entry 1 is missing",)),
    "the last removed": (lambda _, log: log[:4], ("Entry 5 is cut off at the end",)),
    "the end removed": (lambda _, log: log[:3], ("Entries 4–5 are cut off at the end",)),
    "all removed": (lambda _, log: log[:0], ("Entries 1–5 are cut off at the end",)),
    "the file edited": (
        lambda entries, log: [*log[:2], altered(entries[2], reason="another"), *log[3:]],
        (
            "Entry 3 was altered: it has digest",
            "Entry 3 has no valid signature: The audit entry",
            "Entry 4 follows an entry with digest",
        ),
    ),
    "file and record edited": (
        edited_with_its_record,
        ("Entry 3 has no valid signature", "Entry 4 follows an entry with digest"),
    ),
    "forged": (forged, ("Entry 3 has no valid signature", "Entry 4 follows an entry with digest")),
    "an account that is not listed": (unlisted, ("Entry 6 has no valid signature",)),
    "renumbered": (
        renumbered,
        (
            "Entry 3 holds entry 4: it was put in its place",
            "Entry 3 follows an entry with digest",
            "Entry 4 holds entry 5: it was put in its place",
            "Entry 5 is cut off at the end",
        ),
    ),
    "one twice": (
        lambda entries, log: [
            *log[:3],
            LoggedEntry(version="4", recorded=entries[2].digest, entry=entries[2]),
            log[4],
        ],
        ("Entry 4 holds entry 3", "Entry 4 follows an entry", "Entry 5 follows an entry"),
    ),
    "no signature": (
        lambda entries, log: [*log[:4], altered(entries[4], signature="")],
        ("Entry 5 was altered", "Entry 5 has no valid signature", "Entry 5 has digest"),
    ),
    "no record": (
        lambda entries, log: [*log[:4], LoggedEntry(version="5", recorded=None, entry=entries[4])],
        ("Entry 5 was altered: it has digest .*, ZenML recorded none",),
    ),
    "a file gone": (
        lambda _, log: [
            *log[:2],
            LoggedEntry(version="3", recorded="ab" * 32, entry=None, fault="its file is gone"),
            *log[3:],
        ],
        ("Entry 3 cannot be read: its file is gone",),
    ),
    "another with the same number": (
        lambda entries, log: [*log, LoggedEntry(version="05", recorded="x", entry=entries[0])],
        ("Version '05' is no entry of the log",),
    ),
    "made by hand": (
        lambda entries, log: [*log, LoggedEntry(version="final", recorded="x", entry=entries[0])],
        ("Version 'final' is no entry of the log",),
    ),
}


@pytest.mark.parametrize(("damage", "expected"), DAMAGES.values(), ids=DAMAGES)
def test_every_damage_is_found_and_nothing_else(damage: Damage, expected: tuple[str, ...]) -> None:
    """Each finding names the entry; what is whole is not complained of."""
    entries = chain(5)
    found = verify_chain(damage(entries, logged(entries)), TRUSTED, head_of(entries))
    unexpected = [line for line in found if not any(re.match(start, line) for start in expected)]
    missed = [start for start in expected if not any(re.match(start, line) for line in found)]
    assert (unexpected, missed, len(found)) == ([], [], len(expected))


def test_a_beginning_that_was_cut_off_and_renumbered_is_found() -> None:
    """The first entry follows none."""
    entry = audit_entry(number=1, previous="ab" * 32, actor="anna").signed_by(SIGNERS["anna"])
    assert verify_chain(logged([entry]), TRUSTED, head_of([entry])) == [
        "Entry 1 follows another entry: the log begins before it."
    ]


def test_an_end_that_was_replaced_by_signed_entries_is_found() -> None:
    """What was cut off and written anew has another digest than the one that was noted."""
    entries = chain(5)
    other = audit_entry(number=5, previous=entries[3].digest, actor="anna", reason="nothing happened")
    replaced = [*entries[:4], other.signed_by(SIGNERS["anna"])]
    (found,) = verify_chain(logged(replaced), TRUSTED, head_of(entries))
    assert found.startswith("Entry 5 has digest") and found.endswith("the end of the log was replaced.")


def test_without_a_noted_end_all_but_the_end_is_verified() -> None:
    """What is cut off there is not found, which is why a second place keeps it."""
    entries = chain(4)
    assert verify_chain(logged(entries[:2]), TRUSTED, None) == []
    assert len(verify_chain(logged(entries)[1:], TRUSTED, None)) == 1


def test_an_event_is_what_was_done_to_what() -> None:
    """Whoever does it, whenever: a retry has the same event; another version, or another act, has not."""
    entry = audit_entry()
    assert entry.event == audit_entry(number=9, by="x", reason="y", actor="z").event
    assert entry.event == event_of(entry.act, entry.subject)
    assert entry.event != audit_entry(act="reject").event
    assert entry.event != audit_entry(subject={"version": "4"}).event


@pytest.mark.parametrize("fields", [{"act": "aprove"}, {"number": 0}, {"by": None}], ids=str)
def test_a_typo_is_no_entry(fields: dict[str, object]) -> None:
    """An act that is none, or a field that is missing, is an error where it is made."""
    with pytest.raises(ValidationError):
        audit_entry(**fields)
