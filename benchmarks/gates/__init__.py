"""The gate's rules under simulation: how often each is wrong, beside a bare threshold on the point estimate.

A bare threshold is what the peers have: the measured figure is compared with the limit, whatever its n.
Two CPU minutes at most, of which features of real pictures take the most, and the runs of a user beside.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.claim import Claim


def measure(quick: bool) -> list[Claim]:
    """Every claim; quick: fewer runs. Simulations stay whole: a share of a few would be too coarse."""
    from benchmarks.gates import evaluation, fairness, promotion, relabelled, series

    with tempfile.TemporaryDirectory(prefix="shutterline-benchmark-") as name:
        return [
            *promotion.measure(),
            *series.measure(),
            *fairness.measure(quick=quick),
            *relabelled.measure(Path(name) / "relabelled"),
            *evaluation.measure(Path(name), quick=quick),
        ]
