"""What the served directory answers on pictures that the network did not learn from.

Calibration takes the validation rows, and all rows become the reference that drift is measured against.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from materializers.blobs import write_file
from materializers.classifier import RELIABILITY, RISK_COVERAGE, Calibration
from materializers.drift_reference import MEASURED, REFERENCE_FILE, DriftReference
from materializers.splits import TEST, VALIDATION
from serving.model_directory import Preprocessing
from serving.predictor import Predictor, probabilities
from serving.preprocess import UNLIMITED, decode
from steps.training.calibration.calibration import CalibrateSettings, calibrate, write_calibration

if TYPE_CHECKING:
    from materializers.image_dataset import ImageDataset
    from materializers.splits import Splits

logger = logging.getLogger("shutterline")

EMBEDDED = 2000
"""Rows whose embedding is kept, at most: twice what a delivery is compared with, 10 MB of 1,280 values."""
BATCH = 32
"""Pictures that are decoded and answered at a time."""


@dataclass(frozen=True)
class Answers:
    """Answers on n pictures.

    Args:
        rows: as ``unseen_rows`` has them.
        logits: ``(n, k)`` float32.
        embeddings: ``(m, d)`` float32, of the rows that are ``embedded``.
        classes: the k names.
    """

    rows: pd.DataFrame
    logits: NDArray[np.float32]
    embeddings: NDArray[np.float32]
    classes: tuple[str, ...]

    def of(self, split: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Logits ``(n, k)`` and true class numbers ``(n,)`` int64 of one split's pictures."""
        members = (self.rows["split"] == split).to_numpy()
        labels = pd.Index(self.classes).get_indexer(pd.Index(self.rows["label"]))
        return self.logits[members], labels[members].astype(np.int64)

    def reference(self, temperature: float, model: str) -> DriftReference:
        """The reference of the model with this temperature and digest."""
        scores = probabilities(self.logits, temperature).astype(np.float32)
        return DriftReference(self.rows, scores, self.embeddings, self.classes, model)


def unseen_rows(dataset: ImageDataset, splits: Splits, seed: int) -> pd.DataFrame:
    """One row for each validation and test picture that the dataset has, sorted by ``image_id``.

    Args:
        dataset: its index has labels and measures.
        splits: names the pictures.
        seed: draws the rows whose embedding is kept.

    Returns:
        The columns ``image_id``, ``split``, ``label``, ``embedded`` (bool, ``EMBEDDED`` rows at most) and
        ``MEASURED``, float64 with NaN for what nobody computed.
    """
    members = splits.members
    unseen = members.loc[members["split"].isin([VALIDATION, TEST]), ["image_id", "split"]]
    rows = unseen.merge(dataset.index[["image_id", "label", *MEASURED]], on="image_id").sort_values(
        "image_id"
    )
    measures = rows[list(MEASURED)].astype(np.float64)
    measures["byte_count"] = measures["byte_count"].where(
        measures["byte_count"] >= 0
    )  # unknown in old shards
    drawn = np.random.default_rng(seed).permutation(len(rows))[:EMBEDDED]
    embedded = np.isin(np.arange(len(rows)), drawn)
    return rows.assign(**measures, embedded=embedded).reset_index(drop=True)


def unseen_answers(serving: Path, dataset: ImageDataset, splits: Splits, seed: int, threads: int) -> Answers:
    """Ask what would be served for every validation and test picture.

    Args:
        serving: the serving directory.
        dataset: holds the pictures.
        splits: names them.
        seed: draws the rows whose embedding is kept.
        threads: that decode, and that answer.

    Raises:
        BadPicture: a picture cannot be decoded.
        FloatingPointError: an answer is not a number.
    """
    predictor = Predictor.load(serving, threads=threads)
    rows = unseen_rows(dataset, splits, seed)
    logits, embeddings = scored(
        predictor, dataset, rows["image_id"].tolist(), embedded=rows["embedded"].to_numpy(), threads=threads
    )
    return Answers(rows, logits, embeddings, predictor.metadata.classes)


def finish(directory: Path, answers: Answers, settings: CalibrateSettings) -> tuple[Calibration, str]:
    """Calibrate an exported model on its validation answers, and keep all answers beside it.

    Args:
        directory: holds ``serving/``, which has neither temperature nor threshold yet.
        answers: of this model.
        settings: what is chosen.

    Returns:
        What was chosen, and the digest that ``serving/`` has now. The drift reference and the two charts of
        the calibration lie in ``directory``.
    """
    from steps.training.calibration.calibration_pictures import reliability_picture, risk_coverage_picture

    checked = answers.of(VALIDATION)
    calibration = calibrate(*checked, settings)
    for note in calibration.notes:
        logger.warning("%s", note)
    digest = write_calibration(directory / "serving", calibration)
    write_file(directory / REFERENCE_FILE, answers.reference(calibration.temperature, digest).to_bytes())
    write_file(directory / RELIABILITY, reliability_picture(*checked, calibration))
    write_file(directory / RISK_COVERAGE, risk_coverage_picture(*checked, calibration))
    return calibration, digest


def scored(
    predictor: Predictor,
    dataset: ImageDataset,
    image_ids: Sequence[str],
    *,
    embedded: NDArray[np.bool_] | None = None,
    threads: int = 1,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Decode pictures as they would be served, and run the network on them, a batch at a time.

    Args:
        predictor: what would be served.
        dataset: holds the pictures.
        image_ids: n of them, n > 0.
        embedded: ``(n,)``, which embeddings are kept; None: all.
        threads: that decode.

    Returns:
        Logits ``(n, k)`` and the kept embeddings ``(m, d)``, float32.

    Raises:
        BadPicture: a picture cannot be decoded.
        FloatingPointError: an answer is not a number.
    """
    from steps.progress import progress

    parts, kept = [], []
    preprocessing = predictor.metadata.preprocessing
    with ThreadPoolExecutor(threads) as decoders, progress("answer", total=len(image_ids)) as bar:
        for start in range(0, len(image_ids), BATCH):
            ids = image_ids[start : start + BATCH]
            logits, embeddings = predictor.scores(
                np.stack(list(_decoded(preprocessing, dataset, ids, decoders)))
            )
            parts.append(logits)
            kept.append(embeddings if embedded is None else embeddings[embedded[start : start + BATCH]])
            bar.advance(len(ids))
    logits = np.concatenate(parts)
    if not np.isfinite(logits).all():
        raise FloatingPointError("the network's answer is not a number")
    return logits, np.concatenate(kept)


def decoded(
    preprocessing: Preprocessing, dataset: ImageDataset, image_ids: Sequence[str], threads: int
) -> NDArray[np.uint8]:
    """Decode pictures as they would be served: ``(n, height, width, 3)``, n > 0.

    Args:
        preprocessing: the model's.
        dataset: holds the pictures.
        image_ids: n of them.
        threads: that decode.

    Raises:
        BadPicture: a picture cannot be decoded.
    """
    with ThreadPoolExecutor(threads) as decoders:
        return np.stack(list(_decoded(preprocessing, dataset, image_ids, decoders)))


def _decoded(
    preprocessing: Preprocessing,
    dataset: ImageDataset,
    image_ids: Sequence[str],
    decoders: ThreadPoolExecutor,
) -> Iterator[NDArray[np.uint8]]:
    return decoders.map(
        lambda data, turn: decode(data, preprocessing, UNLIMITED, orientation=turn),
        dataset.pictures(image_ids),
        dataset.orientations(image_ids),
    )
