"""Tell people that a delivery did not come on time: nobody would notice what is not there."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from materializers.data_report import Check
from materializers.redaction import one_line
from steps.data.checks.freshness import DELIVERY_INTERVAL

logger = logging.getLogger("shutterline")


def tell_late_delivery(checks: Sequence[Check], source_name: str) -> None:
    """Post a message by the active stack's alerter when the check of the interval did not pass.

    What it does not take is in the log. Nothing is raised: the check itself is in the report, too.
    """
    late = [check for check in checks if check.name == DELIVERY_INTERVAL and check.outcome != "passed"]
    if not late:
        return
    from zenml.client import Client

    message = f"The delivery of {source_name} is late\n{late[0].reason}"
    told = False
    try:
        alerter = Client().active_stack.alerter
        told = alerter is not None and alerter.post(message)
    except Exception as error:  # noqa: BLE001 - any alerter may be in the stack, and raise anything
        logger.warning("The alerter failed: %s", one_line(f"{type(error).__name__}: {error}"))
    if not told:
        logger.warning("%s", one_line(message))
