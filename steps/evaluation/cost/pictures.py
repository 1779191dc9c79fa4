"""How long requests took, and which rates a replica sustained, as one small PNG."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from materializers.evaluation.cost import Cost
from materializers.picture_sheet import encode_chart

if TYPE_CHECKING:
    from numpy.typing import NDArray


def cost_picture(latencies_ms: NDArray[np.float64], cost: Cost) -> bytes:
    """Left the latencies at the offered rate, right the 99th percentile of each rate that was tried.

    Args:
        latencies_ms: ``(n,)``; those that failed are infinite, and the curve ends below 1.
        cost: the numbers.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    answered = np.sort(latencies_ms[np.isfinite(latencies_ms)])
    left.step(answered, np.arange(1, len(answered) + 1) / len(latencies_ms), where="post")
    left.axhline(0.99, color="grey", linestyle=":", linewidth=1)
    left.set(
        xlabel="milliseconds",
        xlim=(0, None),
        ylabel="share of the requests",
        ylim=(0, 1.02),
        title=f"{cost.offered_per_s:g} requests a second",
    )
    for held, marker, colour in ((True, "o", "tab:blue"), (False, "x", "tab:red")):
        shown = [probe for probe in cost.tried if probe.held is held and probe.p99_ms is not None]
        if shown:
            rates, p99 = [probe.rate_per_s for probe in shown], [probe.p99_ms for probe in shown]
            label = "sustained" if held else "not sustained"
            right.scatter(rates, p99, marker=marker, color=colour, label=label)
    right.axhline(cost.p99_limit_ms or 0, color="grey", linestyle=":", linewidth=1, label="limit")
    right.set(yscale="log", xlabel="requests a second", ylabel="p99, milliseconds", title="One replica")
    right.set_xlim(left=0)
    right.yaxis.set_major_formatter("{x:g}")
    right.yaxis.set_minor_formatter(NullFormatter())  # a narrow range has labels at every one of them
    right.legend(fontsize="small")
    return encode_chart(figure)
