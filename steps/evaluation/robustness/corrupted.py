"""How often a model is right about corrupted pictures, as a share of how often it is about clean ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from materializers.evaluation.metric import Metric
from materializers.evaluation.robustness import AtSeverity, Corrupted
from steps.evaluation.intervals import drawn_weights, share_of, with_interval
from steps.evaluation.robustness.corruptions import corrupt, picture_seed
from steps.evaluation.robustness.settings import Corruption
from steps.progress import progress

if TYPE_CHECKING:
    from steps.evaluation.examined import Examined
    from steps.evaluation.robustness.settings import RobustnessSettings

Cell = tuple[Corruption, int]
"""A corruption and a severity."""
AT_A_TIME = 64
"""Pictures that are held decoded and corrupted at once."""


def corrupted_answers(
    examined: Examined, sample: NDArray[np.int64], settings: RobustnessSettings
) -> tuple[NDArray[np.int64], dict[Cell, NDArray[np.int64]]]:
    """Ask the served model for n pictures as they are and under each corruption and severity.

    Args:
        examined: the model and the pictures.
        sample: ``(n,)`` positions of pictures that have an answer.
        settings: the corruptions, the severities and the seed.

    Returns:
        The class numbers ``(n,)`` answered for the clean pictures, and ``(n,)`` of each cell.
    """
    cells = [(name, severity) for name in settings.corruptions for severity in settings.severities]
    clean = np.zeros(len(sample), np.int64)
    under = {cell: np.zeros(len(sample), np.int64) for cell in cells}
    with progress("corrupt", total=len(sample)) as bar:
        for start in range(0, len(sample), AT_A_TIME):
            batch = slice(start, start + AT_A_TIME)
            images = examined.pixels(sample[batch])
            seeds = [picture_seed(examined.image_ids[one], settings.seed) for one in sample[batch]]
            clean[batch] = examined.predictor.scores(images)[0].argmax(axis=1)
            for name, severity in cells:
                changed = corrupt(images, name, severity, seeds)
                under[name, severity][batch] = examined.predictor.scores(changed)[0].argmax(axis=1)
            bar.advance(len(images))
    return clean, under


def assess_corruptions(
    clean: NDArray[np.bool_], right: Mapping[Cell, NDArray[np.bool_]], settings: RobustnessSettings
) -> tuple[Metric, tuple[Corrupted, ...]]:
    """The mean relative accuracy over all cells, and the numbers of each corruption.

    Every resample draws pictures, and each brings all that became of it along: what is hard about a picture
    is hard in every cell, so that the cells are no independent rows.

    Args:
        clean: ``(n,)``, whether the picture is answered rightly as it is.
        right: ``(n,)`` of each cell, whether it is answered rightly there.
        settings: the corruptions and severities, in the order of the result; the resamples and their seed.
    """
    n, columns = len(clean), {cell: number for number, cell in enumerate(right)}
    cells = np.stack(list(right.values()))
    point = relative_accuracies(np.ones((1, n)), clean, cells)
    resamples = drawn_weights(n, resamples=settings.bootstrap_resamples, seed=settings.seed)
    drawn = np.concatenate([relative_accuracies(weights, clean, cells) for weights in resamples])

    def mean(of: Sequence[Cell]) -> Metric:
        chosen = [columns[cell] for cell in of]
        return with_interval(float(point[0, chosen].mean()), drawn[:, chosen].mean(axis=1), n)

    corruptions = tuple(
        Corrupted(
            corruption=name,
            relative_accuracy=mean([(name, severity) for severity in settings.severities]),
            severities=tuple(
                AtSeverity(
                    severity=severity,
                    accuracy=share_of(right[name, severity]),
                    relative_accuracy=mean([(name, severity)]),
                )
                for severity in settings.severities
            ),
        )
        for name in settings.corruptions
    )
    return mean(list(right)), corruptions


def relative_accuracies(
    weights: NDArray[np.float64], clean: NDArray[np.bool_], right: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Accuracies on corrupted pictures as shares of that on the same pictures as they are.

    Args:
        weights: ``(resamples, n)``, how often each picture counts.
        clean: ``(n,)``, whether it is answered rightly as it is.
        right: ``(cells, n)``, whether it is answered rightly in each cell.

    Returns:
        ``(resamples, cells)``; NaN where no picture that counts is answered rightly as it is.
    """
    clean_counts = weights @ clean
    counts = np.where(clean_counts > 0, clean_counts, np.nan)
    return np.asarray((weights @ right.T) / counts[:, None])
