"""Write captured pictures that the model was unsure of, for a person to label; they come back delivered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from actions.result import COMMAND, ActionResult
from materializers.release import Environment
from pipelines.config import Config
from steps.monitoring.traffic.uncertain import uncertain_pictures, write_for_labelling


def export_uncertain(config: Config, target: str, environment: Environment) -> ActionResult:
    """Write pictures and a ``labels.csv`` whose labels are empty, with the model's guess beside each.

    Raises:
        UsageError: something is at ``target`` already, or it cannot be written.
        ServiceUnreachable: the store does not answer.
    """
    days = config.keeping.captured_pictures_days
    rows = uncertain_pictures(
        config.product.model,
        environment,
        since=datetime.now(UTC) - timedelta(days=days),
        most=config.labelling.pictures,
    )
    abstained = int(rows["abstained"].astype(bool).sum())
    details = {"path": target, "pictures": len(rows), "abstained": abstained}
    if rows.empty:
        none = (
            f"No picture of {config.product.model} in {environment} was captured in the last {days:g} days; "
            "nothing was written. docs/captures.md says how pictures are captured"
        )
        return ActionResult(action="export-uncertain", status="done", reasons=(none,), details=details)
    write_for_labelling(rows, Path(target))
    said = (
        f"{len(rows):,} pictures in {target}, of which the model abstained on {abstained:,}. Write the right "
        f"label of each into labels.csv, then: {COMMAND} --continuous --source {target}"
    )
    return ActionResult(action="export-uncertain", status="done", reasons=(said,), details=details)
