"""How often the live model's answers were right, by the labels that came later."""

from __future__ import annotations

from datetime import datetime

import pandas as pd

from materializers.drift_report import Performance
from materializers.report import percent
from steps.evaluation.intervals import wilson
from steps.monitoring.settings import PerformanceSettings


def measure_performance(
    rows: pd.DataFrame,
    baseline: float | None,
    settings: PerformanceSettings,
    *,
    since: datetime | None = None,
) -> Performance:
    """Compare the accuracy on labelled answers with the floor and with the baseline.

    It is a drop where the whole interval of 95 % lies below a limit: one bad day of few labels is none.

    Args:
        rows: one an answered picture, of :func:`steps.monitoring.traffic.labels.joined`: ``correct``
            (boolean, NA where no label came) and ``delay_s``.
        baseline: the fixed accuracy that it is compared with; None where none was set yet.
        settings: the limits.
        since: when the answers begin; a later drop confirms one whose window ended before that.
    """
    labelled = rows["correct"].notna()
    n = int(labelled.sum())
    accuracy = wilson(int(rows.loc[labelled, "correct"].astype(bool).sum()), n)
    said = f"{n:,} of {len(rows):,} answers have a label"
    delay = float(rows.loc[labelled, "delay_s"].median()) if n else None
    limits = {"the floor": settings.floor}
    if baseline is not None:
        limits[f"{percent(settings.baseline_share)} of the baseline's {percent(baseline)}"] = (
            settings.baseline_share * baseline
        )
    if n < settings.minimum_labels:
        outcome, reasons = "insufficient data", [f"{said}, {settings.minimum_labels:,} at least are needed"]
    else:
        bounds = f"accuracy {percent(accuracy.value)} ({percent(accuracy.low)} to {percent(accuracy.high)})"
        below = [
            f"{bounds} is below {name}, {percent(limit)}"
            for name, limit in limits.items()
            if accuracy.high is not None and accuracy.high < limit
        ]
        outcome, reasons = ("drop", below) if below else ("no drop", [f"{bounds}; {said}"])
        change = 0.0 if baseline is None or accuracy.value is None else accuracy.value - baseline
        if abs(change) > settings.reported_change:
            which = "above" if change > 0 else "below"
            reasons.append(f"it is {100 * abs(change):.1f} points {which} the baseline's {percent(baseline)}")
    return Performance(
        outcome=outcome,
        accuracy=accuracy,
        floor=settings.floor,
        baseline=baseline,
        baseline_share=settings.baseline_share,
        coverage=n / len(rows) if len(rows) else 0.0,
        delay_s=delay,
        since=since,
        reasons=tuple(reasons),
    )
