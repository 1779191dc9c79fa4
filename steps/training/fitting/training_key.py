"""What checkpoints of a training are filed under, and their removal once its model is stored.

Whoever removes them loads no torch.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zenml import get_step_context

from materializers.blobs import store_errors
from materializers.errors import ServiceUnreachable
from materializers.report import json_digest
from materializers.store_files import CHECKPOINTS, forget_listings
from steps.training.settings import DECIDES_NOTHING

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore

    from materializers.classifier import TrainingRecord

logger = logging.getLogger("shutterline")

TRAINING = "training"
REPRODUCTION = "reproduction"
"""What a training is for: of a version that is to be registered, or once more to compare."""


def training_key(
    *, data: str, splits: str, classes: Sequence[str], settings: dict[str, Any], code: str, purpose: str
) -> str:
    """The digest of everything that the weights of a training depend on.

    Args:
        data: the dataset's version.
        splits: their digest.
        classes: the names, in the order of the logits.
        settings: all of the training's, as JSON has them.
        code: its digest.
        purpose: what it is for.
    """
    deciding = {name: value for name, value in settings.items() if name not in DECIDES_NOTHING}
    return json_digest([data, splits, list(classes), deciding, code, purpose])


def checkpoints_folder(store: BaseArtifactStore, key: str) -> str:
    """Where a store keeps the checkpoints of one training."""
    return f"{str(store.path).rstrip('/')}/{CHECKPOINTS}/{key}"


def purpose_here(purpose: str) -> str:
    """What this step's checkpoints are for: a training goes on in any run, anything else only in its own."""
    return purpose if purpose == TRAINING else f"{purpose} {get_step_context().pipeline_run.id}"


def remove_checkpoints(store: BaseArtifactStore, record: TrainingRecord, purpose: str = TRAINING) -> None:
    """Remove those of a training that is over; where the store does not, the log says what will.

    Args:
        store: where they lie.
        record: of the model that came of it.
        purpose: what it was for.
    """
    key = training_key(
        data=record.data,
        splits=record.splits,
        classes=record.classes,
        settings=record.settings or {},
        code=record.code,
        purpose=purpose,
    )
    folder = checkpoints_folder(store, key)
    try:
        with store_errors(f"remove the checkpoints {folder}"):
            forget_listings(store, folder)
            if store.exists(folder):
                store.rmtree(folder)
    except ServiceUnreachable as error:
        logger.warning("%s. They take up room until python run.py --collect --apply.", error)
