"""The audit log: append an entry, require one, verify the whole; :mod:`materializers.audit_log` reads it.

Each entry is one version of one ZenML artifact, its number the version. ZenML keeps an artifact's versions
unique on every store, so that of two who claim a number one is told to take the next. The entry is written
before its number is claimed: a number that is claimed has its entry, and who is killed in between leaves a
folder that nothing refers to (``--collect`` removes it) and no gap.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from materializers.audit_entry import Act, AuditEntry, Head, verify_chain
from materializers.audit_log import CLOCKS_APART, has_entry, log_name, read_log, sound_entries
from materializers.blobs import store_errors
from materializers.errors import Refused, ServiceUnreachable, ShutterlineError
from materializers.evidence import registry_client, registry_errors
from materializers.signatures import Signer, TrustedKeys
from steps.data.stored import active_store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from zenml.models import ArtifactVersionResponse

ATTEMPTS = 200
"""Each that is lost was won by somebody else, so that the log grows."""
HEAD = "audit_head"
"""The tag of an MLflow experiment with the log's name that holds the newest entry's number and digest. In one
tag, so that two who write it at the same time leave the one or the other."""
PIPELINE = "a pipeline"
"""Who acted, where no person did."""
NONE = "unknown"
"""What an entry follows where ZenML recorded no digest of the one before it."""

logger = logging.getLogger("shutterline")


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
