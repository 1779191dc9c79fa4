"""The audit log: append an entry, read it, verify it.

Each entry is one version of one ZenML artifact, its number the version. ZenML keeps an artifact's versions
unique on every store, so that of two who claim a number one is told to take the next. The entry is written
before its number is claimed: a number that is claimed has its entry, and who is killed in between leaves a
folder that nothing refers to (``--collect`` removes it) and no gap.

An artifact store has a log of its own: stacks that share a ZenML store have other keys, and other eyes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from pydantic import ValidationError

from materializers.audit_entry import Act, AuditEntry, Head, LoggedEntry, log_of, verify_chain
from materializers.blobs import read_blob
from materializers.errors import Refused, ServiceUnreachable, ShutterlineError
from materializers.evidence import registry_client, registry_errors
from materializers.signatures import Signer, TrustedKeys
from steps.data.stored import active_store, store_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from zenml.artifact_stores import BaseArtifactStore
    from zenml.models import ArtifactVersionResponse

PAGE_SIZE = 500
ATTEMPTS = 200
"""Each that is lost was won by somebody else, so that the log grows."""
READERS = 8
"""Entries that are read at a time: a bucket answers each after some milliseconds."""
HEAD = "audit_head"
"""The tag of an MLflow experiment with the log's name that holds the newest entry's number and digest. In one
tag, so that two who write it at the same time leave the one or the other."""
PIPELINE = "a pipeline"
"""Who acted, where no person did."""
CLOCKS_APART = timedelta(days=1)
"""An entry says when it was written by the clock of its writer, and is found by that of ZenML's store, which
may differ by so much."""
NONE = "unknown"
"""What an entry follows where ZenML recorded no digest of the one before it."""

logger = logging.getLogger("shutterline")


def log_name() -> str:
    """The artifact that is the audit log of the active artifact store."""
    return log_of(active_store().id)


def acting_signer() -> Signer:
    """The account that is logged in, with its key; asked for before an act that has to be logged.

    Raises:
        UsageError: it has no key here.
    """
    from zenml.client import Client

    return Signer.from_environment(Client().active_user.name)


def record(
    act: Act,
    subject: dict[str, str],
    *,
    by: str,
    reason: str,
    once: bool = False,
    since: datetime | None = None,
    head: bool = True,
) -> AuditEntry | None:
    """Append a signed entry to the log.

    Args:
        act: what was done.
        subject: to what; names and digests, never a picture's path or label.
        by: the person's name as it was given; for a run's own act, the pipeline's.
        reason: why.
        once: append nothing where this account signed an entry of the same act and subject, as after a retry.
        since: for ``once``: before this time there was none, by ZenML's clock; None: the whole log is looked
            through.
        head: tell the tracker, too; False where it is known to be down and nobody should wait for it.

    Returns:
        The entry; None where ``once`` found one.

    Raises:
        UsageError: the account has no key here.
        ServiceUnreachable: the log cannot be written.
    """
    who = acting_signer()
    own = TrustedKeys(gate=who.key.public_pem, actors={who.account: who.key.public_pem})
    no_earlier = None if since is None else since - CLOCKS_APART
    if once and sound_entries(act, subject, own, since=no_earlier):
        return None
    for _ in range(ATTEMPTS):
        last = _last()
        entry = AuditEntry(
            number=1 if last is None else int(last.version) + 1,
            previous=None if last is None else last.content_hash or NONE,
            act=act,
            subject=subject,
            actor=who.account,
            by=by,
            reason=reason,
            at=datetime.now(UTC),
        ).signed_by(who)
        if _claim(entry):
            if head:
                _keep_head(entry)
            return entry
    raise ServiceUnreachable(
        f"The audit log took {ATTEMPTS} entries of others while {act} waited for its number. "
        "Run the same command again"
    )


def read_log(act: Act | None = None, *, created_since: datetime | None = None) -> list[LoggedEntry]:
    """Every version of the log with what is stored there now, the oldest first.

    Args:
        act: leave out the entries of all others; as they were recorded, so that it proves nothing by itself.
        created_since: leave out, unread, what ZenML's store took before; that proves as little.

    Raises:
        ServiceUnreachable: the artifact store does not answer.
    """
    store, stored = active_store(), list(_versions(act, created_since))
    with store_errors("read the audit log"), ThreadPoolExecutor(READERS) as readers:
        return list(readers.map(lambda version: _read(store, version), stored))


def require_entry(act: Act, subject: dict[str, str], trusted: TrustedKeys, *, mend: str) -> None:
    """Check that the log has an entry of an act, sound and signed.

    Args:
        act: what was done.
        subject: to what; the entry may say more.
        trusted: the public keys that count.
        mend: how it is done again, for the message.

    Raises:
        Refused: it has none, so that it was removed, altered or never written.
        ServiceUnreachable: the artifact store does not answer.
    """
    if not has_entry(act, subject, trusted):
        named = ", ".join(f"{key} {value[:12]}" for key, value in subject.items())
        raise Refused(
            f"The audit log has no sound entry of the act {act!r} on {named}: it was removed or altered, or "
            f"the command was cut short before it was logged. See python run.py --audit, then: {mend}"
        )


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


def read_head() -> Head | None:
    """The newest entry as the tracker keeps it; None where it keeps none.

    Raises:
        ServiceUnreachable: the tracker does not answer.
    """
    with registry_errors("read the end of the audit log"):
        experiment = registry_client().get_experiment_by_name(log_name())
    return None if experiment is None else _parse_head(experiment.tags.get(HEAD, ""))


def verify_log(trusted: TrustedKeys) -> tuple[list[AuditEntry], list[str]]:
    """Read the whole log and look for whatever is wrong with it.

    Args:
        trusted: the public keys that count.

    Returns:
        The entries that can be read, the oldest first, and a sentence for each finding. Where the tracker
        does not know the end of the log, or does not answer, that is one.

    Raises:
        ServiceUnreachable: the artifact store does not answer.
    """
    head, unknown = None, "The tracker does not know the newest entry"
    try:
        head = read_head()  # before the entries: what is appended meanwhile is behind it
    except ServiceUnreachable as error:
        unknown = str(error)
    logged = read_log()
    findings = verify_chain(logged, trusted, head)
    if head is None and logged:
        findings.append(f"Whether entries were cut off at the end cannot be told: {unknown}.")
    return [each.entry for each in logged if each.entry is not None], findings


def _versions(act: Act | None, since: datetime | None) -> Iterator[ArtifactVersionResponse]:
    """Every version of the log, or of its entries of one act or since a time, the oldest first."""
    from zenml.client import Client

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


def _last() -> ArtifactVersionResponse | None:
    """The version with the highest number."""
    from zenml.client import Client

    page = Client().list_artifact_versions(
        artifact=log_name(), version_number="gte:1", sort_by="desc:version_number", size=1
    )
    return page.items[0] if page.items else None


def _numbered(number: int) -> ArtifactVersionResponse | None:
    """The version with this number."""
    from zenml.client import Client

    page = Client().list_artifact_versions(artifact=log_name(), version=str(number), size=1)
    return page.items[0] if page.items else None


def _claim(entry: AuditEntry) -> bool:
    """Write the entry, then claim its number; False where somebody else has it.

    Raises:
        ServiceUnreachable: the artifact store cannot be written.
    """
    from zenml import save_artifact
    from zenml.exceptions import EntityExistsError

    name = log_name()
    folder = f"custom_artifacts/{name}/{uuid4()}"
    try:
        with store_errors("write the audit log"):
            save_artifact(entry, name=name, version=str(entry.number), uri=folder)
    except EntityExistsError:
        # A server whose answer was lost is asked again by ZenML's client, and then the number is ours.
        there = _numbered(entry.number)
        if there is not None and there.uri.endswith(folder):
            return True
        store = active_store()
        with suppress(OSError):  # nothing refers to it
            store.rmtree(f"{store.path}/{folder}")
        return False
    return True


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


def _parse_head(text: str) -> Head | None:
    """The end of the log as its tag says; None where it says nothing that could be one."""
    number, _, digest = text.partition(":")
    return Head(number=int(number), entry=digest) if number.isdecimal() and digest else None


def _keep_head(entry: AuditEntry) -> None:
    """Note in the tracker that this is the newest entry, unless that would cover up what was cut off.

    What cannot be noted is said and left to the next entry: nothing that a person does waits for the tracker.
    """
    try:
        with registry_errors(f"note entry {entry.number} as the end of the audit log"):
            client = registry_client()
            place, before = _head_place(client)
            if before is None or (before.number < entry.number and _still_there(before, entry)):
                client.set_experiment_tag(place, HEAD, f"{entry.number}:{entry.digest}")
    except ShutterlineError as error:
        logger.warning("Entry %d of the audit log is written; %s", entry.number, error)


def _head_place(client: MlflowClient) -> tuple[str, Head | None]:
    """The experiment that keeps the end of the log, made where there is none, and what it says."""
    from mlflow.exceptions import MlflowException

    name = log_name()
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return client.create_experiment(name), None
        except MlflowException:  # another process made it just now
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    return experiment.experiment_id, _parse_head(experiment.tags.get(HEAD, ""))


def _still_there(head: Head, entry: AuditEntry) -> bool:
    """Whether the log still has the entry that was noted as its end."""
    if entry.number == head.number + 1 and entry.previous == head.entry:
        return True
    noted = _numbered(head.number)
    return noted is not None and noted.content_hash == head.entry
