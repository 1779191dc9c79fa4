"""Image datasets: save, load, ingest, decode, screen, find near-duplicates, open and split an index.

Data: generated JPEGs, unique, 256 × 256, 16 KB on average; the photographs of ``../shared`` where they are
there.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from benchmarks.claim import Claim


def measure(quick: bool) -> list[Claim]:
    """Measure every claim below a folder that is gone afterwards; quick or not, there is one size of each."""
    del quick
    with tempfile.TemporaryDirectory(prefix="shutterline-benchmark-") as name:
        folder = Path(name)
        # Before the cache of shards is first asked for.
        os.environ["SHUTTERLINE_CACHE_DIR"] = str(folder / "cache")
        from benchmarks.dataset import bucket, content, decoding, growth, local, personal_data, scale

        return [
            *local.measure(folder / "local"),
            *bucket.measure(folder / "bucket"),
            *growth.measure(folder / "growth"),
            *content.measure(folder / "content"),
            *decoding.measure(),
            *personal_data.measure(),
            *scale.measure(folder / "scale"),
        ]
