"""Compare a delivery with what the live model learnt from: its labels, its pictures, its embeddings."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from materializers.classifier import fetch_model_directory
from materializers.data_report import Check
from materializers.errors import DamagedArtifact
from materializers.evidence import RegisteredVersion, read_versions
from materializers.image_dataset import ImageDataset
from steps.data.checks.delivery_drift import (
    DRIFT_CHECKS,
    DriftSettings,
    delivery_drift,
    nothing_to_compare,
)
from steps.data.checks.judging import not_assessed
from steps.data.joining import with_classes
from steps.monitoring.signals import dataset_of
from steps.registry.aliases import CHAMPION, STAGING

if TYPE_CHECKING:
    from serving.predictor import Predictor

BATCH = 32


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
    renamed: Mapping[str, str] | None = None,
    retired: Sequence[str] = (),
) -> list[Check]:
    """The checks of a delivery against the champion's training data.

    Args:
        delivery: the delivery's own pictures.
        champion: the version that is live; None where none is.
        settings: limits, sizes and severities.
        renamed: old name → new name of the classes: both sides are compared under today's.
        retired: classes that count on neither side.

    Raises:
        ServiceUnreachable: the artifact store cannot be read.
        Refused: what lies in the model's place is no model.
    """
    if champion is None:
        return nothing_to_compare("There is no model in use yet that learnt from other data.", settings)
    if not len(delivery):
        return nothing_to_compare("The delivery brings no picture.", settings)
    reference = dataset_of(champion)
    if reference is None:
        reason = (
            f"The data that version {champion.version} learnt from are not stored any more. Release a newer "
            "version, or let validate.drift warn."
        )
        return [not_assessed(name, getattr(settings, name), reason) for name in DRIFT_CHECKS]
    delivery, reference = (with_classes(each, renamed or {}, retired) for each in (delivery, reference))
    embeddings = None
    if min(len(delivery), len(reference)) >= settings.min_pictures:
        embeddings = _embeddings(champion, (delivery, reference), settings)
    return delivery_drift(delivery.index, reference.index, settings, embeddings=embeddings)


def _embeddings(
    champion: RegisteredVersion, datasets: tuple[ImageDataset, ImageDataset], settings: DriftSettings
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The champion's embeddings of some pictures of both."""
    from serving.model_directory import ModelDirectoryError
    from serving.predictor import Predictor

    with tempfile.TemporaryDirectory(prefix="shutterline-champion-") as name:
        folder = Path(name)
        fetch_model_directory(champion.tag("model_uri"), folder)
        try:
            predictor = Predictor.load(folder, expected_digest=champion.tag("model_digest"))
        except ModelDirectoryError as error:
            raise DamagedArtifact(
                f"The model of version {champion.version} cannot be compared with: {error}. Put the previous "
                "release back: python run.py --rollback"
            ) from error
        first, second = (embed(predictor, each, _spread(each.index, settings)) for each in datasets)
    return first, second


def embed(predictor: Predictor, dataset: ImageDataset, image_ids: Sequence[str]) -> NDArray[np.float32]:
    """The embeddings ``(n, d)`` of pictures, decoded as they would be served."""
    from serving.preprocess import UNLIMITED, decode

    parts = []
    for start in range(0, len(image_ids), BATCH):
        ids = image_ids[start : start + BATCH]
        encoded = zip(dataset.pictures(ids), dataset.orientations(ids), strict=True)
        images = [
            decode(data, predictor.metadata.preprocessing, UNLIMITED, orientation=turn)
            for data, turn in encoded
        ]
        parts.append(predictor.scores(np.stack(images))[1])
    return np.concatenate(parts)


def _spread(index: pd.DataFrame, settings: DriftSettings) -> list[str]:
    """The first pictures in the order of their digests, which follow nothing."""
    return index["image_id"].sort_values().head(settings.embeddings_sample).tolist()
