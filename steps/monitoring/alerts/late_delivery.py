"""Tell people that a delivery did not come on time: nobody would notice what is not there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from materializers.data_report import Check
from steps.data.checks.freshness import DELIVERY_INTERVAL
from steps.monitoring.alerts.alert import clear_alert, raise_alert
from steps.monitoring.alerts.missing import DELIVERY_MISSING, missing_delivery


def tell_late_delivery(
    checks: Sequence[Check], model_name: str, source_name: str, *, now: datetime | None = None
) -> None:
    """Raise an alert when the check of the interval did not pass, and end it when it did.

    Nothing is raised as an exception: the check itself is in the report, too.

    Args:
        checks: of a delivery.
        model_name: the registered model.
        source_name: who delivers.
        now: the time, with its zone; None: the clock's.
    """
    for check in checks:
        if check.name != DELIVERY_INTERVAL:
            continue
        alert = missing_delivery(model_name, source_name, check.reason)
        if check.outcome == "passed":
            clear_alert(DELIVERY_MISSING, model_name, subject=alert.subject, reason=check.reason, now=now)
        else:
            raise_alert(alert, now=now)
