"""The pictures of an evaluation report, as small PNGs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from materializers.picture_sheet import encode_chart

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_NAMED = 30
"""With more classes than that, numbers and names in a picture cannot be read any more."""


def confusion_picture(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> bytes:
    """The confusion matrix: counts as numbers, the share of each true class as shade."""
    counts = np.asarray(confusion)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    side = min(10.0, 2.5 + 0.55 * len(classes))
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(shown, label="share of the true class", shrink=0.8)
    axes.set(xlabel="predicted", ylabel="true", title="Confusion, test pictures")
    if len(classes) <= MOST_NAMED:
        places = range(len(classes))
        axes.set_xticks(places, classes, rotation=45, ha="right")
        axes.set_yticks(places, classes)
        for row in places:
            for column in places:
                colour = "white" if shares[row, column] > 0.5 else "black"  # noqa: PLR2004 - half the shade
                axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour)
    return encode_chart(figure)


def roc_picture(true: NDArray[np.int64], probabilities: NDArray[np.float64], classes: Sequence[str]) -> bytes:
    """One ROC curve a class, against the rest; a class that is nowhere or everywhere has none."""
    figure = Figure(figsize=(5.5, 4.5), layout="constrained")
    axes = figure.subplots()
    for number, label in enumerate(classes):
        positive = true == number
        if positive.any() and not positive.all():
            false_rate, true_rate = roc_curve(positive, probabilities[:, number])
            axes.plot(false_rate, true_rate, label=label, linewidth=1.2)
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1)
    axes.set(
        xlabel="false positive rate", ylabel="true positive rate", title="ROC, each class against the rest"
    )
    if len(classes) <= MOST_NAMED:
        axes.legend(loc="lower right", fontsize="small")
    return encode_chart(figure)


def roc_curve(
    positive: NDArray[np.bool_], scores: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False and true positive rates from the highest threshold to the lowest, starting at (0, 0)."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # of each run of equal scores
    hits = np.cumsum(positive[order])[last]
    misses = last + 1 - hits
    rates = [np.concatenate([[0.0], counted / counted[-1]]) for counted in (misses, hits)]
    return rates[0], rates[1]
