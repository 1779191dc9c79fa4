"""The figures of a rollout over time, look by look, each beside what is tolerated."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from materializers.picture_sheet import encode_chart
from steps.deployment.observing.reasons import name_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from materializers.observation import Compared, Look, Observation

FIGURES = "figures over time"
COLUMNS = 2
LABELLED = 5
"""Looks whose number of requests is written below a panel, at most."""
FINE, HARM, OPEN, CHAMPION = "#2f855a", "#c53030", "#2b6cb0", "#718096"
SCALE = {"share": 100.0, "ratio": 100.0, "distance": 100.0, "mean": 100.0}
"""All in percent, or points of a hundred."""


def rollout_pictures(observation: Observation) -> dict[str, bytes]:
    """The picture that an observation and its release show; none before the first look.

    Every panel has one figure: by how much the candidate is worse than the champion, at each look, with its
    bounds, and what is tolerated. Above each point stands what both came to.
    """
    from matplotlib.figure import Figure

    panels = _panels(observation)
    if not panels:
        return {}
    rows = math.ceil(len(panels) / COLUMNS)
    figure = Figure(figsize=(9.0, 0.6 + 2.3 * rows), layout="constrained")
    grid = figure.subplots(rows, COLUMNS, squeeze=False)
    for place, axes in enumerate(grid.ravel()):
        if place >= len(panels):
            axes.set_axis_off()
        else:
            _draw(axes, panels[place])
    versions = f"version {observation.candidate} beside version {observation.champion}"
    figure.suptitle(f"{versions}: worse is up; dashed: what is tolerated", fontsize="medium")
    return {FIGURES: encode_chart(figure)}


def _panels(observation: Observation) -> list[list[tuple[Look, Compared]]]:
    """The looks at each figure, in the order in which figures are compared."""
    panels: dict[tuple[str, str], list[tuple[Look, Compared]]] = {}
    for look in observation.looks:
        for compared in look.compared:
            if compared.worse is not None:
                panels.setdefault((compared.signal, compared.figure), []).append((look, compared))
    return list(panels.values())


def _draw(axes: Axes, panel: list[tuple[Look, Compared]]) -> None:
    counts = [look.n_candidate for look, _ in panel]
    last = panel[-1][1]
    scale = SCALE[last.unit]
    worse = [scale * (each.worse or 0.0) for _, each in panel]
    margin = scale * last.margin
    colour = HARM if last.harmful else FINE if last.shown else OPEN
    # What an early look leaves open is far beyond what is of interest; it is drawn to the panel's edge.
    low_edge, high_edge = _edges([*worse, margin, 0.0], margin)
    for place, (_, each) in enumerate(panel):
        low = low_edge if each.low is None else max(low_edge, scale * each.low)
        high = high_edge if each.high is None else min(high_edge, scale * each.high)
        axes.plot([counts[place]] * 2, [low, high], color=colour, linewidth=1.4, alpha=0.6)
    axes.plot(counts, worse, color=colour, marker="o", markersize=4, linewidth=1)
    axes.plot(counts, [scale * each.margin for _, each in panel], color="black", linestyle="--", linewidth=1)
    axes.axhline(0, color=CHAMPION, linewidth=0.8)
    count_axis(axes, counts)
    axes.set_ylim(low_edge, high_edge)
    clock = panel[-1][0].clock
    axes.set_xlabel(f"{clock} of the candidate", fontsize="small")
    axes.set_ylabel("points" if last.unit in ("share", "distance") else "%", fontsize="small")
    axes.tick_params(labelsize="small")
    axes.set_title(_title(last), fontsize="small")


def count_axis(axes: Axes, counts: Sequence[int]) -> None:
    """A logarithmic axis of how many had been counted at each look, with the numbers of some of them."""
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    axes.set_xscale("log")
    # Of a range of a decade or two matplotlib's own labels lie on one another.
    axes.xaxis.set_major_locator(FixedLocator(counts[:: -math.ceil(len(counts) / LABELLED)]))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _edges(values: list[float], margin: float) -> tuple[float, float]:
    reach = 0.6 * max(max(values) - min(values), margin)
    return min(values) - reach, max(values) + reach


def _title(last: Compared) -> str:
    """The figure's name, and what both came to at the last look."""
    if last.champion is None or last.candidate is None:
        return name_of(last)
    if last.unit == "share":
        return f"{name_of(last)}: {100 * last.candidate:.2f} % beside {100 * last.champion:.2f} %"
    unit = " ms" if last.signal == "latency" else ""
    return f"{name_of(last)}: {last.candidate:.3g}{unit} beside {last.champion:.3g}{unit}"
