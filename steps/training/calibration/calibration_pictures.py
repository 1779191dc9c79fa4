"""What calibration did, as two small PNGs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from materializers.classifier import Calibration
from materializers.picture_sheet import encode_chart
from serving.predictor import probabilities
from steps.training.calibration.reliability import BINS, reliability

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def reliability_picture(
    logits: NDArray[np.float32], labels: NDArray[np.int64], calibration: Calibration
) -> bytes:
    """The share of right answers by their probability, before and after: on the diagonal they agree.

    Args:
        logits: ``(n, k)``, on validation pictures.
        labels: ``(n,)``, the true class numbers.
        calibration: what was chosen on them.
    """
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    shown = (
        ("before", 1.0, calibration.ece_before),
        (f"temperature {calibration.temperature:g}", calibration.temperature, calibration.ece_after),
    )
    for axes, (name, temperature, error) in zip(figure.subplots(1, 2, sharey=True), shown, strict=True):
        title = f"{name}: calibration error {error:.3f}"
        draw_reliability(axes, probabilities(logits, temperature), labels, title)
    return encode_chart(figure)


def risk_coverage_picture(
    logits: NDArray[np.float32], labels: NDArray[np.int64], calibration: Calibration
) -> bytes:
    """The share of wrong answers among the surest ones, by the share of pictures that get an answer.

    Args:
        logits: ``(n, k)``, on validation pictures.
        labels: ``(n,)``, the true class numbers.
        calibration: what was chosen on them.
    """
    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    axes = figure.subplots()
    scores = probabilities(logits, calibration.temperature)
    draw_risk_coverage(axes, scores, labels, "Risk by coverage, on validation pictures")
    if calibration.risk is not None:
        axes.axhline(calibration.risk, color="grey", linestyle=":", label=f"limit {calibration.risk:g}")
        threshold = f"threshold {calibration.threshold:.4g}"
        axes.plot([calibration.coverage], [calibration.selective_risk], "o", label=threshold)
    else:
        wrong = (scores.argmax(axis=1) != labels).mean()
        axes.plot([1.0], [wrong], "o", label="every picture is answered")
    axes.set(ylim=(0, None))
    axes.legend(fontsize="small", loc="upper left")
    return encode_chart(figure)


def draw_reliability(axes: Axes, scores: NDArray[np.float64], labels: NDArray[np.int64], title: str) -> None:
    """Draw the share of right answers by their probability.

    Args:
        axes: where.
        scores: probabilities ``(n, k)``, n > 0.
        labels: ``(n,)``, the true class numbers.
        title: above it.
    """
    middles = (np.arange(BINS) + 0.5) / BINS
    counts, _, right = reliability(scores, labels)
    filled = counts > 0
    axes.bar(middles[filled], right[filled] / counts[filled], width=0.9 / BINS, label="right")
    axes.bar(middles, counts / counts.sum(), width=0.3 / BINS, color="lightgrey", label="of all answers")
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    axes.set(xlabel="probability of the answer", title=title, xlim=(0, 1))
    axes.legend(fontsize="small", loc="upper left")


def draw_risk_coverage(
    axes: Axes, scores: NDArray[np.float64], labels: NDArray[np.int64], title: str
) -> None:
    """Draw the share of wrong answers among the surest ones, by the share of the pictures that get one.

    Args:
        axes: where.
        scores: probabilities ``(n, k)``, n > 0.
        labels: ``(n,)``, the true class numbers.
        title: above it.
    """
    order = np.argsort(-scores.max(axis=1), kind="stable")
    wrong = np.cumsum((scores.argmax(axis=1) != labels)[order])
    given = np.arange(1, len(labels) + 1)
    axes.step(given / len(labels), wrong / given, where="post")
    axes.set(xlabel="share of the pictures with an answer", ylabel="share of wrong answers among them")
    axes.set(xlim=(0, 1.02), title=title)
