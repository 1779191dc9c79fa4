"""Which acts of a person stand in the audit log, and what of each.

What a run does (train, gate, decide, release) is logged by the step that does it, and a rollback where it is
recorded: a command that was interrupted in between is finished, and logged, by the next one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actions.result import ActionResult
from materializers.audit_entry import Act
from materializers.errors import ServiceUnreachable
from materializers.report import json_digest

LOGGED: dict[str, tuple[Act, tuple[str, ...]]] = {
    "approve": ("approve", ("version", "model_digest", "approval")),
    "reject": ("reject", ("version", "model_digest", "approval")),
    "approve-change": ("approve-change", ("change", "approval")),
    "release-brake": ("release-brake", ("version",)),
    "stop": ("stop", ("stopped", "services")),
    "forget": ("forget", ("outcome",)),
    "readmit": ("readmit", ("source_digest", "parent", "data")),
    "collect": ("collect", ("bytes_removed",)),
    "rebase-reference": (
        "rebase-reference",
        ("environment", "version", "model_digest", "reference", "artifact"),
    ),
    "set-baseline": ("set-baseline", ("version", "model_digest", "report_digest", "accuracy")),
    "schedule": ("schedule", ("name", "pipeline", "cron")),
    "schedules --apply": ("schedule", ("name", "pipeline", "cron", "content")),
    "pause": ("pause", ("name", "paused")),
    "unschedule": ("unschedule", ("name",)),
}
"""What a result calls itself → the act, and the details that say to what; never a picture's path or label."""

LOG_THEMSELVES = frozenset({"reject"})
"""Of these acts those that go on once they stand in the log: what comes then cannot keep them out of it."""
SIGNED_BY_STEPS = frozenset({"train", "deploy", "observe", "continuous"})
"""The pipelines whose steps write to the log."""


def require_signer(name: str) -> None:
    """Check that an act which is going to be logged can be signed, before anything is done or served.

    Raises:
        UsageError: the account has no key here.
        Refused: its key is none that the stack file lists.
    """
    from materializers.signatures import require_listed
    from steps.deployment.deployer import active_deployer
    from steps.orchestrator import find_orchestrator
    from steps.registry.audit import acting_signer

    orchestrator = find_orchestrator()
    # What steps log is signed here where they run here, which is where the stack has the keys.
    here = orchestrator is not None and bool(orchestrator.signing_environment())
    if name in LOGGED or name == "rollback" or (here and name in SIGNED_BY_STEPS):
        require_listed(acting_signer(), active_deployer().trusted_keys())


def log_act(result: object, *, model: str, by: str, reason: str) -> None:
    """Append an act that was done to the audit log; what is none of the acts above is not.

    Args:
        result: of the act.
        model: the configured registered model.
        by: the person's name as it was given; empty: the account that is logged in.
        reason: why; empty where none is asked for.

    Raises:
        ServiceUnreachable: it was done and cannot be logged.
    """
    if not isinstance(result, ActionResult) or result.action not in LOGGED:
        return
    if result.action == "collect" and not result.details["bytes_removed"]:
        return  # it only looked, or found nothing
    from steps.registry.audit import acting_signer, record

    act, keys = LOGGED[result.action]
    subject = {"model": model, **_subject(result.details, keys)}
    try:
        record(act, subject, by=by or acting_signer().account, reason=reason)
    except ServiceUnreachable as error:
        raise ServiceUnreachable(
            f"--{result.action} was done, but stands in no audit log: {error}. Run the same command again"
        ) from error


def _subject(details: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, str]:
    """The named details, and the digest of all of them."""
    named = {key: details[key] for key in keys}
    told = {key: "; ".join(value) if isinstance(value, list) else str(value) for key, value in named.items()}
    return {**told, "details": json_digest(dict(details))}
