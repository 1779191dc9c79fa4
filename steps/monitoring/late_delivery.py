"""Tell people that a delivery did not come on time: nobody would notice what is not there."""

from __future__ import annotations

from collections.abc import Sequence

from materializers.data_report import Check
from steps.data.checks.freshness import DELIVERY_INTERVAL
from steps.monitoring.alert import post


def tell_late_delivery(checks: Sequence[Check], source_name: str) -> None:
    """Post a message by the active stack's alerter when the check of the interval did not pass.

    What it does not take is in the log. Nothing is raised: the check itself is in the report, too.
    """
    late = [check for check in checks if check.name == DELIVERY_INTERVAL and check.outcome != "passed"]
    if not late:
        return
    post(f"The delivery of {source_name} is late\n{late[0].reason}")
