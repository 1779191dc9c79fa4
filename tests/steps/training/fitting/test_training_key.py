"""What checkpoints are filed under, and that those of a training that is over are removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from materializers.blobs import write_blob
from materializers.classifier import TrainingRecord
from materializers.store_files import walk_files
from steps.training.fitting.training_key import (
    REPRODUCTION,
    TRAINING,
    checkpoints_folder,
    remove_checkpoints,
    training_key,
)

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore

EVIDENCE: dict[str, Any] = {
    "data": "a" * 64,
    "splits": "b" * 64,
    "classes": ["dark", "light"],
    "settings": {"seed": 0},
    "code": "c" * 64,
    "purpose": TRAINING,
}
RECORD = TrainingRecord(
    architecture="small_cnn",
    classes=("dark", "light"),
    threads=1,
    seed=0,
    data="a" * 64,
    splits="b" * 64,
    configuration="d" * 64,
    code="c" * 64,
    model_digest="e" * 64,
    best_epoch=0,
    epochs=(),
    settings={"seed": 0},
)


@pytest.mark.parametrize(
    "other",
    [
        {"data": "f" * 64},
        {"splits": "f" * 64},
        {"classes": ["light", "dark"]},
        {"settings": {"seed": 1}},
        {"code": "f" * 64},
        {"purpose": REPRODUCTION},
    ],
)
def test_whatever_decides_the_weights_is_in_the_key(other: dict[str, Any]) -> None:
    """A training never goes on from a checkpoint of another one."""
    assert training_key(**EVIDENCE | other) != training_key(**EVIDENCE)
    assert training_key(**EVIDENCE) == training_key(**EVIDENCE)


def test_what_decides_nothing_is_not_in_the_key() -> None:
    """A killed training goes on, also where less memory or rarer checkpoints are asked for meanwhile."""
    patient = {"settings": {"seed": 0, "checkpoint_seconds": 600.0, "memory_mb": 1}}
    assert training_key(**EVIDENCE | patient) == training_key(**EVIDENCE)


def test_a_training_that_is_over_leaves_no_checkpoints(store: BaseArtifactStore) -> None:
    """All phases of it go, on disk and in a bucket; those of another purpose stay; again does nothing."""
    folders = {
        purpose: checkpoints_folder(store, training_key(**EVIDENCE | {"purpose": purpose}))
        for purpose in (TRAINING, REPRODUCTION)
    }
    for folder in folders.values():
        for phase in ("head", "blocks"):
            write_blob(store, f"{folder}/{phase}/00000001.json", b"{}")
    for _ in range(2):
        remove_checkpoints(store, RECORD)
        assert list(walk_files(store, folders[TRAINING])) == []
        assert len(list(walk_files(store, folders[REPRODUCTION]))) == 2
