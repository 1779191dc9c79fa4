"""Find labels that are probably wrong: pictures whose look-alikes agree on another label.

Each picture is classified by the others (k nearest neighbours, leave one out), never by one of its own group
or cluster: a product that was labelled wrongly ten times would vouch for itself.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from materializers.data_report import Check
from materializers.report import Record, counted
from steps.data.checks.judging import judged, not_assessed
from steps.data.checks.limits import CheckLimit
from steps.data.near_duplicates import Thumbnail, compared_thumbnail

Features = NDArray[np.float32]
"""``(n, d)`` float32; the closer two rows, the more alike the pictures."""

LEAST = 50
"""Pictures. Of fewer, neighbours say nothing."""
BLOCK = 512
"""Pictures whose distances to all others are in memory at once, and that are loaded at once."""
SIDE = 16
"""Pixels of the features' thumbnails; more find no more on the sample delivery."""


class SuspiciousLabelSettings(Record):
    """How labels are doubted.

    Of 3,000 pictures of five classes (the first sample delivery), 3 % of them labelled wrongly, the defaults
    find 88 %, and doubt 1.5 % of the others. Of 3,781 photographs of ten classes, which thumbnails tell apart
    in 57 % only, they find 20 % and doubt 0.7 %: there, a model's embeddings are needed.
    """

    sample: int = Field(default=5000, ge=LEAST)
    """Pictures that are looked at, at most: those with the first names, which are digests."""
    neighbours: int = Field(default=15, ge=1)
    confidence: float = Field(default=0.8, ge=0.5, le=1)
    """Share of the neighbours' votes that another label needs."""
    suspicious_labels: CheckLimit = CheckLimit(limit=0.02, severity="warn")
    """Share of the pictures looked at."""


def suspicious_labels(
    index: pd.DataFrame,
    load: Callable[[list[str]], list[bytes]],
    settings: SuspiciousLabelSettings,
    embeddings: Features | None = None,
) -> tuple[Check, pd.DataFrame]:
    """Doubt the labels that a picture's look-alikes do not have.

    Args:
        index: one row a picture; columns ``image_id``, ``label``; where present ``orientation``, ``group``
            and ``cluster``.
        load: the encoded pictures of these ``image_id``; not called when there are embeddings.
        settings: how.
        embeddings: a model's, a row for each of ``index``, of length 1; without them thumbnails are compared.

    Returns:
        The check, and the pictures: ``image_id``, ``label``, ``likely`` (the neighbours' label) and
        ``confidence`` (their share), the most confident first.
    """
    bound = settings.suspicious_labels
    first = np.argsort(index["image_id"].to_numpy(dtype=object), kind="stable")[: settings.sample]
    rows = index.iloc[first]
    needed = max(LEAST, settings.neighbours + 1)
    if len(rows) < needed or rows["label"].nunique() <= 1:
        reason = (
            f"Too little to doubt a label: {counted(len(rows), 'picture')} of "
            f"{counted(rows['label'].nunique(), 'label')}; at least {needed} pictures of 2 labels are needed."
        )
        return not_assessed("suspicious_labels", bound, reason), _found(rows[:0], [], [])
    features = thumbnail_features(rows, load) if embeddings is None else embeddings[first]
    found = doubted(rows, features, settings)
    share = len(found) / len(rows)
    reason = (
        f"{len(found):,} of {counted(len(rows), 'picture')} with the look of another label, {share:.1%}; "
        f"at most {bound.limit:.1%} may be."
    )
    mend = "Look at them, and correct what is wrong: a row with image_id and label in the next labels.csv."
    return judged("suspicious_labels", share, bound, "at most", reason, mend), found


def doubted(rows: pd.DataFrame, features: Features, settings: SuspiciousLabelSettings) -> pd.DataFrame:
    """The rows whose neighbours agree on another label, as ``suspicious_labels`` returns them."""
    labels, names = pd.factorize(rows["label"].astype(str), sort=True)
    related = [pd.factorize(rows[column])[0] for column in ("group", "cluster") if column in rows]
    votes = np.concatenate(
        [
            _votes(features, labels, len(names), related, block, settings.neighbours)
            for block in np.array_split(np.arange(len(rows)), -(-len(rows) // BLOCK))
        ]
    )
    likely, confidence = votes.argmax(axis=1), votes.max(axis=1)
    doubtful = (likely != labels) & (confidence >= settings.confidence)
    found = _found(rows[doubtful], names[likely[doubtful]].tolist(), confidence[doubtful].tolist())
    return found.sort_values("confidence", ascending=False, kind="stable", ignore_index=True)


def _votes(
    features: Features,
    labels: NDArray[np.int64],
    classes: int,
    related: list[NDArray[np.int64]],
    block: NDArray[np.int64],
    neighbours: int,
) -> NDArray[np.float32]:
    """The share of each label among the neighbours of each of the block's rows; the nearer count more."""
    squares = (features**2).sum(axis=1)
    distances = squares[block, None] + squares - 2 * features[block] @ features.T
    distances[np.arange(len(block)), block] = np.inf
    for codes in related:
        distances[(codes[block, None] == codes) & (codes >= 0)] = np.inf
    nearest = np.argpartition(distances, neighbours - 1, axis=1)[:, :neighbours]
    far = np.take_along_axis(distances, nearest, axis=1)
    weights = 1 / np.sqrt(far.clip(min=1e-6))  # equal pictures would outvote all others
    votes = np.zeros((len(block), classes), dtype=np.float32)
    np.add.at(votes, (np.arange(len(block))[:, None], labels[nearest]), weights)
    votes /= votes.sum(axis=1, keepdims=True).clip(min=1e-12)
    return votes


def thumbnail_features(rows: pd.DataFrame, load: Callable[[list[str]], list[bytes]]) -> Features:
    """Thumbnails of 16 × 16 pixels without their brightness and contrast, ``(n, 768)``."""
    names = rows["image_id"].astype(str).tolist()
    orientations = (
        rows["orientation"].fillna(1).astype(int).tolist() if "orientation" in rows else [1] * len(rows)
    )
    features = np.empty((len(rows), SIDE * SIDE * 3), dtype=np.float32)
    for start in range(0, len(rows), BLOCK):
        loaded = load(names[start : start + BLOCK])
        for row, data in enumerate(loaded, start):
            features[row] = _feature(compared_thumbnail(data, orientations[row]))
    return features


def _feature(picture: Thumbnail) -> NDArray[np.float32]:
    """A thumbnail at half the size, its mean 0 and its deviation near 1."""
    half = picture.reshape(SIDE, 2, SIDE, 2, 3).mean(axis=(1, 3), dtype=np.float32).ravel() / 255
    standardised: NDArray[np.float32] = (half - half.mean()) / (
        half.std() + 0.05
    )  # noise of a flat one stays small
    return standardised


def _found(rows: pd.DataFrame, likely: Sequence[str], confidence: Sequence[float]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": rows["image_id"].astype(str).to_numpy(dtype=object),
            "label": rows["label"].astype(str).to_numpy(dtype=object),
            "likely": np.array(likely, dtype=object),
            "confidence": np.array(confidence, dtype=np.float64),
        }
    )
