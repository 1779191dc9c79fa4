"""Spare each tracked step what ZenML's MLflow tracker does after it."""

from __future__ import annotations

from typing import Any

from zenml.client import Client


def leave_autologging_alone() -> None:
    """Do not let the active stack's tracker disable MLflow's autologging, which nothing here turns on.

    It imports torch and scikit-learn for that, also after a step that had nothing to do.
    """
    tracker: Any = Client().active_stack.experiment_tracker
    if hasattr(tracker, "disable_autologging"):
        tracker.disable_autologging = lambda: None
