"""A pipeline of as many empty steps as training has: the peer of its bookkeeping.

ZenML imports a step by its module's name, so that it cannot stand in a script or a function.
"""

from __future__ import annotations

from zenml import pipeline, step


@step(enable_cache=False)
def nothing() -> None:
    """Do nothing."""


@pipeline(name="empty")
def empty(steps: int) -> None:
    """So many steps, one after the other."""
    before: list[str] = []
    for number in range(steps):
        nothing(id=f"nothing_{number}", after=before)
        before = [f"nothing_{number}"]
