"""Post a message to people by the active stack's alerter; what it does not take is in the log."""

from __future__ import annotations

import logging

from materializers.alert import Alert
from materializers.redaction import one_line

logger = logging.getLogger("shutterline")


def raise_alert(alert: Alert) -> bool:
    """Tell people of an alert; see :func:`post`."""
    return post(alert.text)


def post(message: str) -> bool:
    """Post a message; nothing is raised, for what it tells of is in a report, too.

    Returns:
        Whether the alerter says that it arrived; otherwise it stands in the log.
    """
    from zenml.client import Client

    told = False
    try:
        alerter = Client().active_stack.alerter
        told = alerter is not None and alerter.post(message)
    except Exception as error:  # noqa: BLE001 - any alerter may be in the stack, and raise anything
        logger.warning("The alerter failed: %s", one_line(f"{type(error).__name__}: {error}"))
    if not told:
        logger.warning("%s", one_line(message))
    return told
