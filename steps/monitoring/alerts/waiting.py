"""Which version waits for a person's approval; tell people of one that has waited for long."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from materializers.alert import Alert
from materializers.errors import ServiceUnreachable, UsageError
from materializers.evidence import DECISION, RegisteredVersion, read_versions, was_live_tag
from steps.monitoring.alerts.alert import alert_settings, clear_alert, open_subjects, raise_alert
from steps.registry.aliases import CHAMPION

APPROVAL_WAITING = "approval_waiting"


def waiting_version(versions: Sequence[RegisteredVersion]) -> RegisteredVersion | None:
    """The version that goes to production only when a person approves it; None where none waits.

    Of the versions since production's that passed their gate it is the newest, which learnt from what the
    others did; once a person decided on it, none waits. One that was live in production was approved for it.

    Args:
        versions: of the registered model, the newest first.
    """
    champion = next((entry.version for entry in versions if CHAMPION in entry.aliases), 0)
    passed = (entry for entry in versions if entry.tags.get("verdict") == "passed")
    newest = next((entry for entry in passed if entry.version > champion), None)
    if newest is None or DECISION in newest.tags or was_live_tag("production") in newest.tags:
        return None
    return newest


def look_for_waiting_approvals(model_name: str, *, now: datetime) -> int | None:
    """Raise an alert for the version that has waited for long, and end that of one which waits no more.

    Where there is no registry, or none that answers, nothing is looked for: whoever needs it says so.

    Returns:
        The version that has waited for longer than the alerter's ``approval_hours``.

    Raises:
        ServiceUnreachable: the alerts cannot be read.
    """
    try:
        versions = read_versions(model_name)
    except (ServiceUnreachable, UsageError):
        return None
    waiting, patience = waiting_version(versions), timedelta(hours=alert_settings().approval_hours)
    if waiting is not None and now - waiting.created <= patience:
        waiting = None
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
        reason = "It was decided on, or a newer version passed."
        clear_alert(APPROVAL_WAITING, model_name, subject=other, reason=reason, now=now)
    return None if waiting is None else waiting.version
