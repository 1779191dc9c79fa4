"""What people say that answers were worth, beside what it was when there was enough of it first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pandas as pd

from materializers.drift_report import BusinessFigure, DriftReport, PerformanceOutcome
from materializers.evaluation.metric import Metric
from materializers.report import percent, short
from steps.evaluation.intervals import mean_of
from steps.monitoring.settings import BusinessSettings


def mean_figure(rows: pd.DataFrame, settings: BusinessSettings) -> Metric:
    """The mean of what was posted of requests, with an interval of 95 %.

    Args:
        rows: one a picture, of :func:`steps.monitoring.traffic.labels.joined`; what is said of a request
            stands in each of its rows.
        settings: name the figure.
    """
    said = rows.drop_duplicates("request_id")[settings.figure].dropna().to_numpy(np.float64)
    return mean_of(said[np.isfinite(said)])


def fixed_figure(
    reports: Sequence[DriftReport], settings: BusinessSettings, *, since: datetime | None
) -> BusinessFigure | None:
    """A report's figure that has the baseline which was set since then, of the same kind; None without one.

    Args:
        reports: on windows of one environment, the newest first.
        settings: name the figure.
        since: when the baseline of the accuracy began to hold, by which this one is set anew; None: never.
    """
    for report in reports:
        found = report.business
        if (
            found is not None
            and found.baseline_set is not None
            and (found.figure, found.value_is) == (settings.figure, settings.value_is)
            and (since is None or found.baseline_set >= since)
        ):
            return found
    return None


def measure_business(
    mean: Metric, before: BusinessFigure | None, settings: BusinessSettings, *, at: datetime
) -> BusinessFigure:
    """Compare a window's mean with the baseline; the first mean of enough figures is the baseline itself.

    It is a drop where the whole interval of 95 % is worse than the baseline by more than the decline.

    Args:
        mean: of :func:`mean_figure`.
        before: of :func:`fixed_figure`.
        settings: the limits.
        at: when the window's mean becomes the baseline, where it does.
    """
    baseline = before.baseline if before is not None else None
    baseline_set = before.baseline_set if before is not None else None
    outcome: PerformanceOutcome = "insufficient data"
    limit = _limit(baseline, settings)
    if mean.value is None or mean.low is None or mean.high is None or mean.n < settings.minimum_values:
        reason = (
            f"a {settings.figure} was posted of {mean.n:,} requests, {settings.minimum_values:,} at least "
            "are needed"
        )
    else:
        bounds = f"mean {settings.figure} {short(mean.value)} ({short(mean.low)} to {short(mean.high)})"
        if limit is None or baseline_set is None:
            outcome, baseline, baseline_set = "no drop", mean.value, at
            limit = _limit(baseline, settings)
            reason = f"{bounds} is the first of enough figures, and the baseline from now on"
        else:
            beyond = mean.low > limit if settings.value_is == "cost" else mean.high < limit
            outcome = "drop" if beyond else "no drop"
            reason = (
                f"{bounds} is {'beyond' if beyond else 'within'} {short(limit)}, {percent(settings.decline)} "
                f"worse than {short(baseline)} as set on {baseline_set:%Y-%m-%d %H:%M} UTC"
            )
    return BusinessFigure(
        outcome=outcome,
        figure=settings.figure,
        value_is=settings.value_is,
        mean=mean,
        baseline=baseline,
        baseline_set=baseline_set,
        decline=settings.decline,
        limit=limit,
        reasons=(reason,),
    )


def _limit(baseline: float | None, settings: BusinessSettings) -> float | None:
    """The mean that is worse than the baseline by the decline; None where there is no baseline."""
    if baseline is None:
        return None
    decline = settings.decline * abs(baseline)
    return baseline + decline if settings.value_is == "cost" else baseline - decline
