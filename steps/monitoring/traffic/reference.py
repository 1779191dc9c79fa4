"""What a window is compared with: the model's own pictures, or the traffic that a person accepted since.

A rebased reference counts by its entry in the audit log, for exactly the model that answered. One that is not
what the entry names is refused: nobody is told that all is well by a reference that somebody edited.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from materializers.audit_log import sound_entries
from materializers.blobs import read_blob, store_errors
from materializers.drift_reference import REFERENCE_FILE, DriftReference, read_reference
from materializers.drift_report import ComparedWith
from materializers.errors import DamagedArtifact, Refused, UsageError
from materializers.evidence import RegisteredVersion
from materializers.rebased_reference import RebasedReference
from materializers.release import Arm, Environment
from serving.model_directory import ModelMetadata, parse_metadata
from steps.data.stored import active_store
from steps.deployment.deployer import active_deployer

if TYPE_CHECKING:
    from materializers.audit_entry import AuditEntry
    from materializers.signatures import TrustedKeys

SEED = 0
"""The same traffic, the same rows."""


def reference_name(model_name: str, environment: Environment) -> str:
    """The artifact that holds an environment's rebased references."""
    return f"{model_name}-{environment}-reference"


def metadata_of(arm: Arm) -> ModelMetadata:
    """What the served directory says of itself.

    Raises:
        ServiceUnreachable: the store does not answer.
    """
    with store_errors(f"read the metadata of version {arm.version}"):
        return parse_metadata(read_blob(active_store(), f"{arm.model_uri}/metadata.json"))


def own_reference(arm: Arm) -> DriftReference:
    """What the model answered on its validation and test pictures.

    Raises:
        UsageError: the version has none.
        DamagedArtifact: it cannot be read.
        ServiceUnreachable: the store does not answer.
    """
    with store_errors(f"read the reference of version {arm.version}"):
        try:
            return read_reference(active_store(), f"{arm.model_uri.rpartition('/')[0]}/{REFERENCE_FILE}")
        except FileNotFoundError as error:
            raise UsageError(
                f"Version {arm.version} has no reference that traffic could be compared with: it was trained "
                "before there were any. Train again: python run.py --train --source PATH"
            ) from error


def rebased_reference(
    model_name: str, environment: Environment, arm: Arm
) -> tuple[RebasedReference, AuditEntry] | None:
    """The newest reference of accepted traffic of exactly this model, with its entry; None: there is none.

    Raises:
        Refused: it is gone, or not what its entry names.
        ServiceUnreachable: the log or the store does not answer.
    """
    about = {"model": model_name, "environment": environment, "model_digest": arm.model_digest}
    trusted = active_deployer().trusted_keys()
    entries = sound_entries("rebase-reference", about, trusted)
    if not entries:
        return None
    newest = entries[-1]
    found = _stored(newest, reference_name(model_name, environment))
    try:
        _require_as_logged(found, newest, trusted)
    except Refused as refusal:
        raise _unusable(newest, str(refusal)) from refusal
    return found, newest


def reference_of(
    model_name: str,
    environment: Environment,
    arm: Arm,
    registered: Sequence[RegisteredVersion],
    *,
    rebased: bool,
) -> tuple[DriftReference, ComparedWith]:
    """What a window of a version is compared with, and what that is.

    Args:
        model_name: the registered model.
        environment: where it serves.
        arm: the version.
        registered: all versions of the model.
        rebased: whether accepted traffic may take the place of the model's own pictures.

    Raises:
        UsageError: the version has no reference.
        Refused: the newest rebased one is gone, or not what its entry in the log names.
        DamagedArtifact: it cannot be read.
        ServiceUnreachable: the log or the store does not answer.
    """
    found = rebased_reference(model_name, environment, arm) if rebased else None
    if found is None:
        own = own_reference(arm)
        since = registered_since(arm, registered)
        return own, ComparedWith(rebased=False, pictures=len(own), since=since)
    accepted, entry = found
    return accepted.reference, ComparedWith(
        rebased=True,
        pictures=len(accepted.reference),
        since=entry.at,
        reference_digest=accepted.digest,
        by=entry.by,
        erased=accepted.erased(),
    )


def registered_since(arm: Arm, registered: Sequence[RegisteredVersion]) -> datetime | None:
    """When this model was registered first, under whatever number; None where the registry does not know it.

    Args:
        arm: the version.
        registered: all versions of the model.
    """
    same = [entry.created for entry in registered if entry.tags.get("model_digest") == arm.model_digest]
    return min(same, default=None)


def drawn(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most so many rows, those first whose picture was kept, in their order; the rest by chance.

    Which pictures are kept is drawn when they are captured, so that preferring them picks no kind of picture.
    """
    if len(rows) <= most:
        return rows
    chance = np.random.default_rng(SEED).permutation(len(rows))
    first = np.lexsort((chance, rows["picture"].isna().to_numpy()))
    return rows.iloc[np.sort(first[:most])]


def _require_as_logged(found: RebasedReference, entry: AuditEntry, trusted: TrustedKeys) -> None:
    """Check that it is what the entry names, but for what was erased since, by the log.

    Raises:
        Refused: it is not.
        ServiceUnreachable: the log cannot be read.
    """
    if found.digest != entry.subject["reference"]:
        raise Refused("it is another than was logged")
    erased = found.erased()
    if erased and not any(act.number > entry.number for act in sound_entries("forget", {}, trusted)):
        raise Refused(f"{erased:,} of its rows are missing, and the log has no erasure since")


def _stored(entry: AuditEntry, name: str) -> RebasedReference:
    """What an entry names, as it is stored now.

    Raises:
        Refused: it is gone, or cannot be read.
    """
    from zenml.client import Client

    try:
        with store_errors("read the rebased reference"):
            loaded = Client().get_artifact_version(name, entry.subject["artifact"]).load()
    except (KeyError, DamagedArtifact) as error:
        raise _unusable(entry, f"it cannot be read: {error}") from error
    if not isinstance(loaded, RebasedReference):
        raise _unusable(entry, "something else is stored in its place")
    return loaded


def _unusable(entry: AuditEntry, why: str) -> Refused:
    where = entry.subject["environment"]
    return Refused(
        f"The reference that {entry.by} rebased on {entry.at:%Y-%m-%d %H:%M} UTC for version "
        f"{entry.subject['version']} in {where} (entry {entry.number} of the log) cannot be used: {why}. "
        f'Make it anew: python run.py --rebase-reference --environment {where} --by WHO --reason "…"; or '
        "compare with the model's own pictures: --set monitor.reference.use=own"
    )
