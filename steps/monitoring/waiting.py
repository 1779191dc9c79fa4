"""Tell people of a version that passed its gate and waits for their approval for long."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from materializers.alert import Alert
from materializers.errors import ServiceUnreachable, UsageError
from materializers.evidence import DECISION, RegisteredVersion, read_versions, was_live_tag
from steps.monitoring.alert import alert_settings, clear_alert, open_subjects, raise_alert
from steps.registry.aliases import CHALLENGER

APPROVAL_WAITING = "approval_waiting"


def waiting_version(
    versions: Sequence[RegisteredVersion], *, patience: timedelta, now: datetime
) -> RegisteredVersion | None:
    """The challenger, where it passed, nobody decided on it, and it was registered long ago; else None.

    One that was live in production was approved for it.

    Args:
        versions: of the registered model.
        patience: how long it may wait.
        now: the time, with its zone.
    """
    for each in versions:
        undecided = DECISION not in each.tags and was_live_tag("production") not in each.tags
        passed = CHALLENGER in each.aliases and each.tags.get("verdict") == "passed"
        if passed and undecided and now - each.created > patience:
            return each
    return None


def look_for_waiting_approvals(model_name: str, *, now: datetime) -> int | None:
    """Raise an alert for the version that waits, and end that of one which does not any more.

    Where there is no registry, or none that answers, nothing is looked for: whoever needs it says so.

    Returns:
        The version that waits.

    Raises:
        ServiceUnreachable: the alerts cannot be read.
    """
    try:
        versions = read_versions(model_name)
    except (ServiceUnreachable, UsageError):
        return None
    waiting = waiting_version(versions, patience=timedelta(hours=alert_settings().approval_hours), now=now)
    subject = None if waiting is None else f"version {waiting.version}"
    if waiting is not None:
        reasons = (
            f"Version {waiting.version} passed its gate, was registered on {waiting.created:%Y-%m-%d %H:%M} "
            "UTC and waits for a person to approve it for production.",
            f'python run.py --approve {waiting.version} --by WHO --reason "…", or --reject {waiting.version}',
        )
        raise_alert(
            Alert(
                name=APPROVAL_WAITING,
                severity="info",
                model_name=model_name,
                subject=subject,
                reasons=reasons,
            ),
            now=now,
        )
    for other in open_subjects(APPROVAL_WAITING, model_name) - {subject}:
        reason = "It was decided on, or another version is the challenger."
        clear_alert(APPROVAL_WAITING, model_name, subject=other, reason=reason, now=now)
    return None if waiting is None else waiting.version
