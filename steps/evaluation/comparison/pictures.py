"""A comparison as one picture: each difference with its interval, beside the loss that is tolerated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from materializers.picture_sheet import encode_chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from materializers.evaluation.comparison import Comparison, PairedRows

MOST_CLASSES = 30
"""Those with the largest losses; more cannot be read."""
POINTS = 100
FINE, HARM, NOT_JUDGED = "#2b6cb0", "#c53030", "#a0aec0"


def forest_picture(comparison: Comparison) -> bytes:
    """Draw the differences as a PNG: all rows first, then golden set, new rows and classes.

    Args:
        comparison: one that was assessed.

    Raises:
        ValueError: it was not.
    """
    from matplotlib.figure import Figure

    if comparison.overall is None:
        raise ValueError("A comparison that was not assessed has no differences to draw.")
    lines = _lines(comparison)
    figure = Figure(figsize=(7.0, 1.2 + 0.32 * len(lines)), layout="constrained")
    axes = figure.subplots()
    for place, (_, part, margin, colour) in enumerate(lines):
        _draw(axes, place, part, margin, colour)
    axes.axvline(0, color="grey", linewidth=0.8)
    axes.set_yticks(range(len(lines)), [f"{name}, n = {part.n:,}" for name, part, _, _ in lines])
    axes.invert_yaxis()
    axes.set(
        xlabel="points better (right) or worse (left); |: the loss that is tolerated",
        title=f"Challenger beside the {comparison.against}, same rows",
    )
    return encode_chart(figure)


def _lines(comparison: Comparison) -> list[tuple[str, PairedRows, float, str]]:
    """Name, rows, tolerated loss and colour of each line."""
    overall = comparison.overall
    lines = []
    if overall is not None:
        low = overall.difference.low
        stands = low is not None and low >= -comparison.margin
        lines.append(("all rows", overall, comparison.margin, FINE if stands else HARM))
    for name, part in (("golden set", comparison.golden), ("new rows", comparison.new_rows)):
        if part is not None:
            lines.append((name, part, comparison.subset_margin, _colour(part, comparison.harm_alpha)))
    worst = sorted(comparison.classes.items(), key=lambda each: (each[1].difference.value or 0.0, each[0]))
    for label, part in worst[:MOST_CLASSES]:
        if part.n:
            lines.append((label, part, comparison.class_margin, _colour(part, comparison.harm_alpha)))
    return lines


def _colour(part: PairedRows, harm_alpha: float) -> str:
    if part.adjusted is None:
        return NOT_JUDGED
    return HARM if part.adjusted < harm_alpha else FINE


def _draw(axes: Axes, place: int, part: PairedRows, margin: float, colour: str) -> None:
    """One difference with its interval, in points."""
    found = part.difference
    if found.value is None or found.low is None or found.high is None:
        return
    axes.plot([found.low * POINTS, found.high * POINTS], [place, place], color=colour, linewidth=1.6)
    axes.plot([found.value * POINTS], [place], marker="o", markersize=5, color=colour)
    axes.plot([-margin * POINTS], [place], marker="|", markersize=12, color="black")
