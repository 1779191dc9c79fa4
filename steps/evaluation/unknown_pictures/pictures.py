"""How the probability of an answer is spread over known and unknown pictures, as a small PNG."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from materializers.picture_sheet import encode_chart

if TYPE_CHECKING:
    from steps.evaluation.unknown_pictures.scoring import Scored


def scores_picture(scored: Mapping[str, Scored], threshold: float) -> bytes:
    """How the probability of an answer is spread over known, near and far pictures.

    Args:
        scored: by name.
        threshold: of the served model.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, each in scored.items():
        axes.ecdf(each.sure, label=name, linewidth=1.2)
    if threshold:
        axes.axvline(threshold, color="grey", linestyle=":", label=f"threshold {threshold:.4g}")
    axes.set(xlabel="probability of the answer", ylabel="share of the pictures at or below it")
    axes.set(xlim=(0, 1.01), title="Test pictures and unknown ones")
    axes.legend(fontsize="small", loc="upper left")
    return encode_chart(figure)
