"""The gate's rules under simulation: how often each is wrong, beside a bare threshold on the point estimate.

A bare threshold is what the peers have: the measured figure is compared with the limit, whatever its n.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.claim import Claim


def measure(quick: bool) -> list[Claim]:
    """Every claim; quick: fewer simulations and seeds."""
    from benchmarks.gates import evaluation, fairness, promotion, relabelled, series

    with tempfile.TemporaryDirectory(prefix="shutterline-benchmark-") as name:
        return [
            *promotion.measure(quick=quick),
            *series.measure(quick=quick),
            *fairness.measure(quick=quick),
            *relabelled.measure(Path(name) / "relabelled", quick=quick),
            *evaluation.measure(Path(name), quick=quick),
        ]
