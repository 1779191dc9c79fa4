"""What the audit log of the active artifact store says, read where evidence is verified.

Each entry is one version of one ZenML artifact, its number the version. An artifact store has a log of its
own: stacks that share a ZenML store have other keys, and other eyes.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pydantic import ValidationError
from zenml.client import Client

from materializers.audit_entry import Act, AuditEntry, LoggedEntry, log_of
from materializers.blobs import read_blob, store_errors
from materializers.errors import Refused, ServiceUnreachable
from materializers.signatures import TrustedKeys

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore
    from zenml.models import ArtifactVersionResponse

PAGE_SIZE = 500
READERS = 8
"""Entries that are read at a time: a bucket answers each after some milliseconds."""
CLOCKS_APART = timedelta(days=1)
"""An entry says when it was written by the clock of its writer, and is found by that of ZenML's store, which
may differ by so much."""


def log_name() -> str:
    """The artifact that is the audit log of the active artifact store."""
    return log_of(Client().active_stack.artifact_store.id)


def read_log(act: Act | None = None, *, created_since: datetime | None = None) -> list[LoggedEntry]:
    """Every version of the log with what is stored there now, the oldest first.

    Args:
        act: leave out the entries of all others; as they were recorded, so that it proves nothing by itself.
        created_since: leave out, unread, what ZenML's store took before; that proves as little.

    Raises:
        ServiceUnreachable: the artifact store does not answer.
    """
    store, stored = Client().active_stack.artifact_store, list(_versions(act, created_since))
    with store_errors("read the audit log"), ThreadPoolExecutor(READERS) as readers:
        return list(readers.map(lambda version: _read(store, version), stored))


def has_entry(act: Act, subject: dict[str, str], trusted: TrustedKeys) -> bool:
    """Whether the log has an entry of an act, sound and signed, whose subject says at least this.

    Raises:
        ServiceUnreachable: the artifact store does not answer.
    """
    return bool(sound_entries(act, subject, trusted))


def sound_entries(
    act: Act, subject: dict[str, str], trusted: TrustedKeys, *, since: datetime | None = None
) -> list[AuditEntry]:
    """The entries of an act, the oldest first, sound and signed, whose subject says at least this.

    Args:
        act: what was done.
        subject: to what; an entry may say more.
        trusted: the public keys that count.
        since: of this time or later, by the entries themselves; earlier ones are not even read, by ZenML's
            word. Not for what somebody gains by hiding it.

    Raises:
        ServiceUnreachable: the artifact store does not answer.
    """
    logged = read_log(act, created_since=None if since is None else since - CLOCKS_APART)
    sound = [each.entry for each in logged if each.entry and _is_sound(each, act, subject, trusted)]
    return [entry for entry in sound if since is None or entry.at >= since]


def rejection_of(model_name: str, version: int, model_digest: str, trusted: TrustedKeys) -> AuditEntry | None:
    """The rejection that holds for a version: of it, or of its model under another number.

    A model that was rejected stays so under each number that a training gives it, until a person decides on
    that number. Only the entries of decisions are read, however long the log is.

    Raises:
        ServiceUnreachable: the artifact store does not answer; or it lost, or changed, what ZenML knows as a
            rejection, so that nobody can tell of what.
    """
    rejections = read_log("reject")
    if not rejections:
        return None
    about = {"model": model_name}
    decided: dict[str, AuditEntry] = {}
    sound = [each.entry for each in rejections if each.entry and _is_sound(each, "reject", about, trusted)]
    for entry in sorted((*sound, *sound_entries("approve", about, trusted)), key=lambda each: each.number):
        decided[entry.subject.get("version", "")] = entry
    own = decided.get(str(version))
    if own is not None and own.act == "reject":
        return own
    for each in rejections:
        later = own is not None and each.number is not None and own.number > each.number
        if not later and (each.entry is None or each.entry.digest != each.recorded):
            raise ServiceUnreachable(
                f"Entry {each.version} of the audit log, a rejection, cannot be read or was altered "
                f"({each.fault or 'its digest is another one'}), so that nobody can tell that it is not of "
                f"version {version}. Put it back; see python run.py --audit. Or decide again: "
                f'python run.py --approve {version} --by WHO --reason "…"'
            )
    if own is not None:
        return None
    same = (entry for entry in decided.values() if entry.subject.get("model_digest") == model_digest)
    return next((entry for entry in same if entry.act == "reject"), None)


def _is_sound(logged: LoggedEntry, act: Act, subject: dict[str, str], trusted: TrustedKeys) -> bool:
    """Whether this is an entry of the act on the subject, as it was recorded and as its actor signed it."""
    entry = logged.entry
    if entry is None or entry.act != act or not subject.items() <= entry.subject.items():
        return False
    try:
        entry.verify_signature(trusted)
    except Refused:
        return False
    return entry.digest == logged.recorded


def _versions(act: Act | None, since: datetime | None) -> Iterator[ArtifactVersionResponse]:
    """Every version of the log, or of its entries of one act or since a time, the oldest first."""
    of_act = None if act is None else f'act:equals:"{act}"'
    created = None if since is None else f"gte:{since.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    number, pages = 1, 1
    while number <= pages:
        page = Client().list_artifact_versions(
            artifact=log_name(),
            run_metadata=of_act,
            created=created,
            sort_by="asc:version_number",
            page=number,
            size=PAGE_SIZE,
        )
        yield from page.items
        number, pages = number + 1, page.total_pages


def _read(store: BaseArtifactStore, version: ArtifactVersionResponse) -> LoggedEntry:
    """What is stored of one version now.

    Raises:
        OSError: the store does not answer.
    """
    entry, fault = None, None
    try:
        entry = AuditEntry.model_validate_json(read_blob(store, f"{version.uri}/report.json"))
    except FileNotFoundError:
        fault = "its file is gone"
    except ValidationError:
        fault = "its file is damaged"
    return LoggedEntry(version=version.version, recorded=version.content_hash, entry=entry, fault=fault)
