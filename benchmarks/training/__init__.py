"""Training: what it costs, beside what others do for the same end.

Data: the photographs of ``../shared`` where they are there, else generated JPEGs of 256 × 256, or the
pictures of ``data/*.zip`` where labels are needed.
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
        from benchmarks.training import clothing, features, loop, parallel, ridge, tuning

        # Features of labelled pictures are computed once for all that learn from them.
        labelled = Path(name) / "labelled"
        return [
            *features.measure(Path(name) / "features", quick=quick),
            *clothing.measure(labelled, quick=quick),
            *ridge.measure(labelled, quick=quick),
            *loop.measure(Path(name) / "loop", quick=quick),
            *tuning.measure(quick=quick),
            *parallel.measure(quick=quick),
        ]
