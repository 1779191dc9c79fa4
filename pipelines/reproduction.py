"""Reproduction: a registered version trained again from what was recorded of it, beside the version."""

from __future__ import annotations

from zenml import pipeline
from zenml.client import Client

from steps.reproduction.compare import compare
from steps.reproduction.recalling import Recalled
from steps.training.fitting.training_key import REPRODUCTION
from steps.training.train import train


@pipeline(name="reproduction")
def reproduction(recalled: Recalled, code: str, lock: str) -> None:
    """Train, compare; nothing is registered, nothing is tracked, and nothing comes from the cache.

    The artifacts of the version's run are the inputs themselves, so that no copy of them is stored.

    Args:
        recalled: what the version was trained from.
        code: digest of the code that trains now.
        lock: digest of the lock files that it runs with.
    """
    stored = Client().get_artifact_version
    trained = train.with_options(enable_cache=False, experiment_tracker=False)(
        stored(recalled.dataset),
        stored(recalled.splits),
        classes=list(recalled.classes),
        settings=recalled.settings,
        configuration=recalled.configuration,
        code=code,
        calibration=recalled.calibration,
        lock=lock,
        purpose=REPRODUCTION,  # what an earlier training learnt is not taken up again
    )
    compare(stored(recalled.classifier), trained, entry=recalled.entry, run=recalled.run)
