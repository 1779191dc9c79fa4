"""The record that a version was tested end to end in staging, which production asks for.

It is an artifact, found by the version's name, and an entry of the audit log that names its digest: neither
is enough alone.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from zenml import save_artifact
from zenml.client import Client

from materializers.audit_entry import AuditEntry
from materializers.audit_log import sound_entries
from materializers.end_to_end import EndToEnd
from materializers.errors import DamagedArtifact, Refused
from materializers.release import Arm, Release
from materializers.signatures import TrustedKeys
from steps.deployment.rollout import since_of
from steps.registry.audit import PIPELINE, record
from steps.registry.decisions import last_entry
from steps.registry.presupposed import SERVING, WHAT, Presupposed

SKEW = timedelta(minutes=5)
"""Between the clocks of two machines."""


def end_to_end_artifact(model_name: str, version: int) -> str:
    """The name of the artifact that holds the end-to-end tests of one version."""
    return f"{model_name}-{version}-end-to-end"


def keep_end_to_end(test: EndToEnd, of: Release, presupposed: Presupposed) -> None:
    """Store a test of a release where production looks for it, and note it in the audit log.

    Args:
        test: what came of it.
        of: what was tested.
        presupposed: what it was put under load with.

    Raises:
        UsageError: the account has no key here.
        ServiceUnreachable: the artifact store or the log cannot be written.
    """
    save_artifact(test, name=end_to_end_artifact(test.model_name, test.version))
    subject = {
        "model": test.model_name,
        "environment": test.environment,
        "version": str(test.version),
        "model_digest": test.model,
        "since": since_of(of),
        "report": test.digest,
        "outcome": test.outcome,
        SERVING: presupposed.serving,
    }
    record("end-to-end", subject, by=PIPELINE, reason=f"asked at its URL in {test.environment}")


def own_test(release: Release, trusted: TrustedKeys) -> AuditEntry | None:
    """The audit log's last entry of the end-to-end test of exactly this release; None where it had none.

    A test of the same model in an earlier release is none: that says nothing of what answers now.

    Raises:
        ServiceUnreachable: the artifact store does not answer.
    """
    if release.candidate is None:
        return None
    about = {
        "model": release.model_name,
        "environment": release.environment,
        "version": str(release.candidate.version),
        "model_digest": release.candidate.model_digest,
        "since": since_of(release),
    }
    found = sound_entries("end-to-end", about, trusted)
    return found[-1] if found else None


def require_end_to_end(
    model_name: str, arm: Arm, *, presupposed: Presupposed, hours: float, trusted: TrustedKeys
) -> None:
    """Check that exactly this model was tested end to end in staging, passed, and not too long ago.

    The last test counts.

    Args:
        model_name: the registered model.
        arm: the version that is to be released to production.
        presupposed: what is configured now: a load at another peak says nothing of it.
        hours: how long a test counts.
        trusted: the public keys of whoever may sign.

    Raises:
        Refused: it was not, or the record of it was altered.
        ServiceUnreachable: the artifact store does not answer.
    """
    refusal = _not_tested(model_name, arm, presupposed, hours, trusted)
    if refusal is not None:
        raise Refused(
            f"Production takes a version that was tested end to end in staging within {hours:g} hours: "
            f"version {arm.version} {refusal}. Test it: python run.py --deploy --version {arm.version}"
        )


def _not_tested(
    model_name: str, arm: Arm, presupposed: Presupposed, hours: float, trusted: TrustedKeys
) -> str | None:
    """Why there is no end-to-end test that counts; None where there is one."""
    entry = last_entry(("end-to-end",), model_name, arm.version, trusted)
    if entry is None:
        return "has no such test, by the audit log"
    name = end_to_end_artifact(model_name, arm.version)
    found = Client().list_artifact_versions(artifact=name, sort_by="desc:created", size=1).items
    try:
        test = found[0].load() if found else None
    except (DamagedArtifact, OSError) as error:
        return f"has one that cannot be read: {error}"
    if not isinstance(test, EndToEnd) or test.digest != entry.subject.get("report"):
        return f"has one that is not what entry {entry.number} of the audit log names: it was altered"
    age = datetime.now(UTC) - entry.at
    # One of before this was recorded says nothing about it.
    other_load = entry.subject.get(SERVING, presupposed.serving) != presupposed.serving
    found_wanting = {
        f"was tested as the model {test.model[:12]} and is {arm.model_digest[:12]} now": (
            test.model != arm.model_digest
        ),
        f"was tested in {test.environment}": test.environment != "staging",
        f"did not pass it: {'; '.join(test.reasons())}": test.outcome != "passed",
        f"was put under load with {WHAT[SERVING]} than are configured now": (
            test.load is not None and other_load
        ),
        f"was tested {age.total_seconds() / 3600:.1f} hours ago": not -SKEW <= age <= timedelta(hours=hours),
    }
    return next((said for said, holds in found_wanting.items() if holds), None)
