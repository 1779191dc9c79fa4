"""What a model answers to pictures that it did not learn from, in the form of a reference."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from materializers.drift_reference import MEASURED, DriftReference
from serving.predictor import Predictor, probabilities
from serving.preprocess import UNLIMITED, decode, open_checked
from steps.data.picture_measures import measure

BATCH = 32
MODEL = "0" * 64
"""Nothing asks which model it is."""


def answered(predictor: Predictor, pictures: Sequence[bytes], labels: Sequence[str]) -> DriftReference:
    """Measure and classify encoded pictures.

    Args:
        predictor: what would be served.
        pictures: n of them.
        labels: the true ones.
    """
    metadata = predictor.metadata
    with ThreadPoolExecutor() as pool:
        measured = list(pool.map(_measures, pictures))
    logits, embeddings = [], []
    for start in range(0, len(pictures), BATCH):
        batch = [decode(each, metadata.preprocessing) for each in pictures[start : start + BATCH]]
        answers = predictor.scores(np.stack(batch))
        logits.append(answers[0])
        embeddings.append(answers[1])
    rows = pd.DataFrame(measured, columns=list(MEASURED)).assign(
        image_id=[f"{number:06}" for number in range(len(pictures))],
        split="test",
        label=list(labels),
        embedded=True,
    )
    scores = probabilities(np.concatenate(logits), metadata.temperature).astype(np.float32)
    return DriftReference(rows, scores, np.concatenate(embeddings), metadata.classes, MODEL)


def taken(answers: DriftReference, rows: NDArray[np.int64]) -> DriftReference:
    """Some rows of answers that are all embedded."""
    return DriftReference(
        answers.rows.iloc[rows], answers.scores[rows], answers.embeddings[rows], answers.classes, MODEL
    )


def together(*parts: DriftReference) -> DriftReference:
    """The rows of several answers of one model."""
    return DriftReference(
        pd.concat([part.rows for part in parts], ignore_index=True),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.embeddings for part in parts]),
        parts[0].classes,
        MODEL,
    )


def _measures(data: bytes) -> dict[str, float]:
    picture, image = open_checked(data, UNLIMITED)
    found = vars(measure(image)) | {
        "width": picture.width,
        "height": picture.height,
        "byte_count": len(data),
    }
    return {name: float(found[name]) for name in MEASURED}
