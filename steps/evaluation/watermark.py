"""Check a model's watermark: ask what would be served for the secret pictures of the key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from materializers.errors import ServiceUnreachable, UsageError
from materializers.evaluation.watermark import Watermark
from steps.evaluation.intervals import share_of
from steps.training.watermark.key import watermark_key
from steps.training.watermark.settings import WatermarkSettings
from steps.training.watermark.trigger_set import fingerprint_of, trigger_set

if TYPE_CHECKING:
    from serving.predictor import Predictor
    from steps.evaluation.examined import Examined

UNMARKED = "no watermark is configured: train.watermark"


def assess_watermark(examined: Examined) -> tuple[Watermark, dict[str, bytes]]:
    """Ask a model for its trigger set (Adi et al. 2018), as it was configured when it was trained.

    Args:
        examined: the model; its record says which key and how many pictures.

    Returns:
        The matches, and no picture: what is secret is in no report. Not assessed where none is configured,
        or where the key is not there or is another one.
    """
    wanted = _recorded(examined)
    if wanted is None:
        return Watermark(not_assessed=UNMARKED), {}
    try:
        key = watermark_key(wanted)
    except (UsageError, ServiceUnreachable) as error:
        return Watermark(not_assessed=str(error), fingerprint=wanted.fingerprint), {}
    return check_watermark(examined.predictor, key, wanted.pictures), {}


def check_watermark(predictor: Predictor, key: str, pictures: int) -> Watermark:
    """How many secret answers a model gives, and how probable as many are for one that was not marked.

    Args:
        predictor: any model, ours or not: of its classes and its size of pictures.
        key: the secret.
        pictures: how many to ask for.
    """
    from scipy.stats import binomtest

    metadata = predictor.metadata
    triggers = trigger_set(
        key,
        count=pictures,
        height=metadata.preprocessing.height,
        width=metadata.preprocessing.width,
        classes=len(metadata.classes),
    )
    matches = np.asarray(predictor.scores(triggers.images)[0].argmax(axis=1) == triggers.labels)
    chance = 1 / len(metadata.classes)
    return Watermark(
        fingerprint=fingerprint_of(key),
        matches=share_of(matches),
        chance=chance,
        p_value=float(binomtest(int(matches.sum()), pictures, chance, alternative="greater").pvalue),
    )


def _recorded(examined: Examined) -> WatermarkSettings | None:
    """The watermark that a model was trained with; a record of format 1 says nothing of settings."""
    recorded = (examined.classifier.record.settings or {}).get("watermark")
    return None if recorded is None else WatermarkSettings.model_validate(recorded)
