"""Compare a delivery with what the live model learnt from: its labels, its pictures, its embeddings."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from materializers.data_report import Check
from materializers.errors import DamagedArtifact
from materializers.evidence import RegisteredVersion, read_versions
from materializers.image_dataset import ImageDataset
from steps.data.checks.delivery_drift import (
    DRIFT_CHECKS,
    EMBEDDING_DRIFT,
    DriftSettings,
    delivery_drift,
    nothing_to_compare,
)
from steps.data.checks.judging import not_assessed
from steps.data.joining import with_classes
from steps.monitoring.signals import dataset_of
from steps.registry.aliases import CHAMPION, STAGING
from steps.registry.registered_model import predictor_of

if TYPE_CHECKING:
    from serving.predictor import Predictor

logger = logging.getLogger("shutterline")

NOTHING_NEW = (
    "The delivery brings no picture that the dataset before lacks, so that embeddings are not compared again."
)


def champion_of(model_name: str) -> RegisteredVersion | None:
    """The version in production, else that in staging; None where neither is.

    Raises:
        ServiceUnreachable: the registry cannot be read.
    """
    versions = read_versions(model_name)
    for alias in (CHAMPION, STAGING):
        for version in versions:
            if alias in version.aliases:
                return version
    return None


def drift_from_champion(
    delivery: ImageDataset,
    champion: RegisteredVersion | None,
    settings: DriftSettings,
    *,
    previous: ImageDataset | None = None,
    renamed: Mapping[str, str] | None = None,
    retired: Sequence[str] = (),
) -> list[Check]:
    """The checks of a delivery against the champion's training data.

    What cannot be read of these is not assessed, and the reason names the file.

    Args:
        delivery: the delivery's own pictures.
        champion: the version that is live; None where none is.
        settings: limits, sizes and severities.
        previous: the last accepted dataset: where it has every picture of the delivery, the embeddings,
            which cost most, are not compared again.
        renamed: old name → new name of the classes: both sides are compared under today's.
        retired: classes that count on neither side.

    Raises:
        ServiceUnreachable: the artifact store cannot be read.
        DamagedArtifact: the champion's model is not the registered one.
        Refused: what lies in the model's place is no model.
    """
    if champion is None:
        return nothing_to_compare("There is no model in use yet that learnt from other data.", settings)
    if not len(delivery):
        return nothing_to_compare("The delivery brings no picture.", settings)
    reason = (
        f"The data that version {champion.version} learnt from are not stored any more. Release a newer "
        "version, or let validate.drift warn."
    )
    try:
        reference = dataset_of(champion)
    except DamagedArtifact as error:
        reference, reason = None, _not_readable(champion, error)
    if reference is None:
        return [not_assessed(name, getattr(settings, name), reason) for name in DRIFT_CHECKS]
    nothing_new = previous is not None and not len(delivery.without(previous.index["image_id"]))
    delivery, reference = (with_classes(each, renamed or {}, retired) for each in (delivery, reference))
    if nothing_new:
        checks = delivery_drift(delivery.index, reference.index, settings)
        compared = [check for check in checks if check.name != EMBEDDING_DRIFT]
        return compared + nothing_to_compare(NOTHING_NEW, settings, checks=(EMBEDDING_DRIFT,))
    return _with_embeddings(delivery, reference, champion, settings)


def _with_embeddings(
    delivery: ImageDataset, reference: ImageDataset, champion: RegisteredVersion, settings: DriftSettings
) -> list[Check]:
    """All checks; the model is asked for embeddings where there are pictures enough on both sides."""
    if min(len(delivery), len(reference)) < settings.min_pictures:
        return delivery_drift(delivery.index, reference.index, settings)
    with predictor_of(champion) as predictor:
        ours = embed(predictor, delivery, _spread(delivery.index, settings))
        try:
            theirs = embed(predictor, reference, _spread(reference.index, settings))
        except DamagedArtifact as error:
            reason = _not_readable(champion, error)
            return delivery_drift(delivery.index, reference.index, settings, why_not=reason)
    return delivery_drift(delivery.index, reference.index, settings, embeddings=(ours, theirs))


def _not_readable(champion: RegisteredVersion, error: DamagedArtifact) -> str:
    """Why the delivery is not compared, in the log too: a comparison is never left out in silence."""
    reason = (
        f"The delivery is not compared with what version {champion.version} learnt from: {error}; or release "
        "a newer version, or let validate.drift warn."
    )
    logger.warning("%s", reason)
    return reason


def embed(predictor: Predictor, dataset: ImageDataset, image_ids: Sequence[str]) -> NDArray[np.float32]:
    """The embeddings ``(n, d)`` of pictures, decoded as they would be served."""
    from steps.training.reference import scored

    return scored(predictor, dataset, image_ids)[1]


def _spread(index: pd.DataFrame, settings: DriftSettings) -> list[str]:
    """The first pictures in the order of their digests, which follow nothing."""
    return index["image_id"].sort_values().head(settings.embeddings_sample).tolist()
