"""The gate's rules under simulation: how often each is wrong, beside a bare threshold on the point estimate.

A bare threshold is what the peers have: the measured figure is compared with the limit, whatever its n.
Two CPU minutes at most, of which features of real pictures take the most.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.claim import Claim


def measure(quick: bool) -> list[Claim]:
    """Every claim, in full either way: with fewer seeds a share would be too coarse for its bar."""
    from benchmarks.gates import promotion, relabelled, series

    with tempfile.TemporaryDirectory(prefix="shutterline-benchmark-") as name:
        return [
            *promotion.measure(),
            *series.measure(),
            *relabelled.measure(Path(name)),
        ]
