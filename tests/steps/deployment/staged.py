"""A release to staging of a version that is really registered."""

from __future__ import annotations

from pathlib import Path

from materializers.release import Release
from tests.materializers.examples import arm, release
from tests.steps.evaluation.registered import Made, register_trained
from tests.steps.training.examples import dataset, splits, trained


def staged_release(name: str, folder: Path) -> Release:
    """A release of a version whose test pictures are stored; nothing answers for it yet.

    Args:
        name: of the registered model.
        folder: where its model is made.
    """
    pictures = dataset()
    classifier = trained(folder, epochs=1)
    entry = register_trained(name, Made(classifier, pictures, splits(pictures)))
    candidate = arm(entry.version).model_copy(
        update={"model_digest": entry.tag("model_digest"), "model_uri": entry.tag("model_uri")}
    )
    return release(model_name=name, environment="staging", candidate=candidate, champion=None)
