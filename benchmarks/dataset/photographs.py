"""Real colour photographs beside the project, where they are there."""

from __future__ import annotations

import sys
from functools import cache

from benchmarks.warm import PROJECT

FOLDER = PROJECT.parent / "shared" / "data" / "clothing" / "images"


@cache
def photographs() -> list[bytes]:
    """The encoded bytes of each; none, and a word of it, where the folder is absent."""
    if not FOLDER.is_dir():
        sys.stderr.write(f"There is no {FOLDER}: nothing is measured on real photographs.\n")
        return []
    return [path.read_bytes() for path in sorted(FOLDER.iterdir())]
