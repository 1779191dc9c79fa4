"""A pipeline of one tracked step that does nothing; it prints which heavy libraries were imported for it."""

from __future__ import annotations

import sys

from zenml import pipeline, step

from pipelines.session import prepare


@step(experiment_tracker=True, enable_cache=False)
def idle() -> int:
    """Nothing."""
    return 0


@pipeline
def tracked() -> None:
    """One step."""
    idle()


if __name__ == "__main__":
    prepare(stack=None)
    tracked()
    sys.stdout.write(f"imported: {sorted({'torch', 'sklearn'} & set(sys.modules))}\n")
