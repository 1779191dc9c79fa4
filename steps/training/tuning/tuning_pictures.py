"""Pictures of a tuning for the dashboard: only where there is something to draw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from materializers.picture_sheet import encode_chart
from materializers.tuning_report import HISTORY, IMPORTANCES, PARALLEL, Trial, TuningReport, Value

FEWEST_TRIALS = 2
LOW_END, HIGH_END = 0.001, 0.999
"""Heights beyond which a value stands at the end of its axis."""
LOG_FACTOR = 20
"""From how many times the smallest value on an axis goes by orders of magnitude."""


def pictures_of(report: TuningReport) -> dict[str, bytes]:
    """History, importances and parallel coordinates as PNGs, by name."""
    found = {}
    complete = [trial for trial in report.trials if trial.score is not None]
    if complete and len(report.trials) >= FEWEST_TRIALS:
        found[HISTORY] = history(report.trials)
    if len(complete) >= FEWEST_TRIALS:
        found[PARALLEL] = parallel_coordinates(complete, list(report.search_space))
    if len(report.importances) >= FEWEST_TRIALS:
        found[IMPORTANCES] = importances(report.importances)
    return dict(sorted(found.items()))


def history(trials: Sequence[Trial]) -> bytes:
    """Each trial's score, and the best one until then; pruned trials at what they had reached."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots()
    complete = [(trial.number, trial.score) for trial in trials if trial.score is not None]
    pruned = [(trial.number, max(trial.val_accuracy)) for trial in trials if trial.score is None]
    numbers, scores = zip(*complete, strict=True)
    axes.plot(numbers, scores, "o", label="complete")
    if pruned:
        axes.plot(*zip(*pruned, strict=True), "x", color="grey", label="pruned")
    best = np.maximum.accumulate(scores).tolist()
    axes.step([*numbers, max(len(trials), *numbers)], [*best, best[-1]], where="post", label="best")
    axes.set(xlabel="trial", ylabel="validation accuracy")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    return encode_chart(figure)


def importances(shares: dict[str, float]) -> bytes:
    """Each parameter's share as a bar."""
    figure = Figure(figsize=(8, 1 + 0.35 * len(shares)), layout="constrained")
    axes = figure.subplots()
    names = sorted(shares, key=lambda name: shares[name])
    axes.barh(names, [shares[name] for name in names])
    axes.set(xlabel="share of the variance of scores", xlim=(0, 1))
    return encode_chart(figure)


def parallel_coordinates(trials: Sequence[Trial], names: Sequence[str]) -> bytes:
    """A line a complete trial over its parameters, coloured by its score."""
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    axes = figure.subplots()
    scores = [trial.score or 0.0 for trial in trials]
    columns = [_scaled([trial.parameters[name] for trial in trials]) for name in names]
    columns.append(_scaled(list(scores)))
    low, high = min(scores), max(scores)
    colours = colormaps["viridis"]
    for place in np.argsort(scores):
        shade = (scores[place] - low) / (high - low) if high > low else 1.0
        axes.plot([column[0][place] for column in columns], color=colours(shade), alpha=0.7)
    for at, (_, ends) in enumerate(columns):
        axes.axvline(at, color="grey", linewidth=0.5)
        for height, text in ends:
            # Beyond the ends of an axis, where no line runs over it.
            below = height < LOW_END
            offset, side = ((0, -3), "top") if below else ((0, 3), "bottom")
            if LOW_END <= height <= HIGH_END:
                offset, side = (3, 0), "center"
            place = "center" if side != "center" else "left"
            axes.annotate(
                text, (at, height), xytext=offset, textcoords="offset points", fontsize=8, ha=place, va=side
            )
    axes.set_xticks(range(len(columns)), [*names, "validation accuracy"])
    axes.tick_params(axis="x", length=0, pad=12)
    axes.set_yticks([])
    axes.set(xlim=(-0.4, len(columns) - 0.6), ylim=(-0.12, 1.12))
    axes.spines[:].set_visible(False)
    figure.colorbar(
        ScalarMappable(Normalize(low, high), colours), ax=axes, label="validation accuracy", pad=0.02
    )
    return encode_chart(figure)


def _scaled(values: list[Value]) -> tuple[list[float], list[tuple[float, str]]]:
    """Heights from 0 to 1, and what stands at which height."""
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if not numeric:
        names = sorted({str(value) for value in values})
        heights = {name: place / max(1, len(names) - 1) for place, name in enumerate(names)}
        return [heights[str(value)] for value in values], [(heights[name], name) for name in names]
    numbers = np.array(values, dtype=np.float64)
    low, high = float(numbers.min()), float(numbers.max())
    if low == high:
        return [0.5] * len(values), [(0.5, f"{low:.3g}")]
    if low > 0 and high > LOG_FACTOR * low:
        numbers = np.log(numbers)
    scaled = (numbers - numbers.min()) / (numbers.max() - numbers.min())
    return scaled.tolist(), [(0.0, f"{low:.3g}"), (1.0, f"{high:.3g}")]
