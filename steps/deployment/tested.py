"""The record that a version was tested end to end in staging, which production asks for.

It is an artifact, found by the version's name, and an entry of the audit log that names its digest: neither
is enough alone.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from zenml import save_artifact
from zenml.client import Client

from materializers.end_to_end import EndToEnd
from materializers.errors import DamagedArtifact, Refused
from materializers.release import Arm
from materializers.signatures import TrustedKeys
from steps.registry.audit import PIPELINE, record
from steps.registry.decisions import last_entry

SKEW = timedelta(minutes=5)
"""Between the clocks of two machines."""


def end_to_end_artifact(model_name: str, version: int) -> str:
    """The name of the artifact that holds the end-to-end tests of one version."""
    return f"{model_name}-{version}-end-to-end"


def keep_end_to_end(test: EndToEnd) -> None:
    """Store a test where production looks for it, and note it in the audit log.

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
        "report": test.digest,
        "outcome": test.outcome,
    }
    record("end-to-end", subject, by=PIPELINE, reason=f"asked at its URL in {test.environment}")


def require_end_to_end(model_name: str, arm: Arm, *, hours: float, trusted: TrustedKeys) -> None:
    """Check that exactly this model was tested end to end in staging, passed, and not too long ago.

    The last test counts.

    Args:
        model_name: the registered model.
        arm: the version that is to be released to production.
        hours: how long a test counts.
        trusted: the public keys of whoever may sign.

    Raises:
        Refused: it was not, or the record of it was altered.
        ServiceUnreachable: the artifact store does not answer.
    """
    refusal = _not_tested(model_name, arm, hours, trusted)
    if refusal is not None:
        raise Refused(
            f"Production takes a version that was tested end to end in staging within {hours:g} hours: "
            f"version {arm.version} {refusal}. Test it: python run.py --deploy --version {arm.version}"
        )


def _not_tested(model_name: str, arm: Arm, hours: float, trusted: TrustedKeys) -> str | None:
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
    found_wanting = {
        f"was tested as the model {test.model[:12]} and is {arm.model_digest[:12]} now": (
            test.model != arm.model_digest
        ),
        f"was tested in {test.environment}": test.environment != "staging",
        f"did not pass it: {'; '.join(test.reasons())}": test.outcome != "passed",
        f"was tested {age.total_seconds() / 3600:.1f} hours ago": not -SKEW <= age <= timedelta(hours=hours),
    }
    return next((said for said, holds in found_wanting.items() if holds), None)
