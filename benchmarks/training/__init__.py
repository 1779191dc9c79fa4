"""Training: what it costs, beside what others do for the same end.

Data: the photographs of ``../shared`` where they are there, else generated JPEGs of 256 × 256.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from benchmarks.claim import Claim


def measure(quick: bool) -> list[Claim]:
    """Measure every claim below a folder that is gone afterwards; quick: on fewer pictures, in one round."""
    # Read when torch is loaded, as a training does.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with tempfile.TemporaryDirectory(prefix="shutterline-benchmark-") as name:
        from benchmarks.training import features, loop, parallel, tuning

        return [
            *features.measure(Path(name) / "features", quick=quick),
            *loop.measure(Path(name) / "loop", quick=quick),
            *tuning.measure(quick=quick),
            *parallel.measure(quick=quick),
        ]
