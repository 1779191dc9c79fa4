"""The success metrics of an A/B test over time, as one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from materializers.picture_sheet import encode_chart
from steps.deployment.observing.pictures import count_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from materializers.ab_report import AbReport, SuccessMetric

METRICS = "success metrics over time"
BETTER, WORSE, OPEN = "#2f855a", "#c53030", "#2b6cb0"
AXES = {"share": ("points", 100.0), "ms": ("ms", 1.0), "": ("", 1.0)}


def ab_pictures(report: AbReport) -> dict[str, bytes]:
    """A panel for each metric: the difference at each look, with its interval; none before the first look."""
    from matplotlib.figure import Figure

    metrics = [metric for metric in report.metrics if metric.looks]
    if not metrics:
        return {}
    figure = Figure(figsize=(9.0, 3.0), layout="constrained")
    for axes, metric in zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
        _draw(axes, metric)
    figure.suptitle(
        f"version {report.candidate} less version {report.champion}; green: better, red: worse, shown",
        fontsize="medium",
    )
    return {METRICS: encode_chart(figure)}


def _draw(axes: Axes, metric: SuccessMetric) -> None:
    unit, scale = AXES[metric.unit]
    counts = [look.n_candidate for look in metric.looks]
    differences = [scale * look.difference for look in metric.looks]
    colour = OPEN if not metric.decided else BETTER if metric.ahead == "candidate" else WORSE
    last = metric.looks[-1]
    # Early intervals are far wider than what is of interest; they go on beyond the panel.
    ends = [scale * each for each in (last.low, last.high) if each is not None]
    reach = 1.5 * max((abs(each) for each in (*differences[-3:], *ends)), default=1.0) or 1.0
    for count, look in zip(counts, metric.looks, strict=True):
        low, high = (
            side * reach if bound is None else scale * bound
            for side, bound in ((-1, look.low), (1, look.high))
        )
        axes.plot([count, count], [max(low, -reach), min(high, reach)], color=colour, alpha=0.6)
    axes.plot(counts, differences, color=colour, marker="o", markersize=4, linewidth=1)
    axes.axhline(0, color="grey", linewidth=0.8)
    count_axis(axes, counts)
    axes.set_ylim(-reach, reach)
    axes.set_xlabel("of the new version", fontsize="small")
    axes.set_ylabel(unit, fontsize="small")
    axes.tick_params(labelsize="small")
    direction = "more" if metric.more_is_better else "less"
    axes.set_title(f"{metric.name}, {direction} is better", fontsize="small")
