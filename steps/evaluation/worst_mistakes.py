"""Show the wrong answers that the model was surest of: they tell of wrong labels and of what it mixes up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from materializers.evaluation.worst_mistakes import Mistake, WorstMistakes
from materializers.report import Record
from steps.evaluation.metrics import UNUSABLE

if TYPE_CHECKING:
    from steps.evaluation.examined import Examined

WORST = "worst_mistakes"


class WorstMistakesSettings(Record):
    """How many mistakes are shown."""

    pictures: int = Field(default=12, ge=0, le=24)
    """At most; 0: none."""


def wrong_answers(examined: Examined) -> list[int]:
    """Positions in ``image_ids`` of all wrong answers, the most probable first.

    A picture that serving refused has no answer and is none of them.
    """
    wrong = np.flatnonzero((examined.predicted != examined.true) & (examined.predicted != UNUSABLE))
    sure = examined.probabilities[wrong].max(axis=1)
    positions: list[int] = wrong[np.argsort(-sure, kind="stable")].tolist()
    return positions


def mistakes_sheet(examined: Examined, mistakes: tuple[Mistake, ...]) -> bytes:
    """The pictures as they are stored, each with its label, the answer and the probability.

    Args:
        examined: has the pictures.
        mistakes: at least one.
    """
    from materializers.thumbnails import thumbnail
    from steps.evaluation.captioned_sheet import SIDE, Tile, captioned_sheet

    image_ids = [each.image_id for each in mistakes]
    dataset = examined.dataset
    stored = zip(mistakes, dataset.pictures(image_ids), dataset.orientations(image_ids), strict=True)
    return captioned_sheet(
        [
            Tile(
                image=thumbnail(data, orientation, SIDE),
                lines=(f"{each.true} →", f"{each.answered} {each.probability:.3f}"),
                shows=(each.image_id,),
            )
            for each, data, orientation in stored
        ]
    )


def assess_worst_mistakes(
    examined: Examined, settings: WorstMistakesSettings
) -> tuple[WorstMistakes, dict[str, bytes]]:
    """Find the wrong answers that the model was surest of.

    Args:
        examined: the model and its answers.
        settings: how many are shown.

    Returns:
        They, and a sheet of their pictures where there are any.
    """
    if not settings.pictures:
        return WorstMistakes(not_assessed="none is asked for: --set evaluate.worst_mistakes.pictures=12"), {}
    wrong = wrong_answers(examined)
    mistakes = tuple(_mistake(examined, position) for position in wrong[: settings.pictures])
    found = WorstMistakes(wrong=len(wrong), mistakes=mistakes)
    return found, {WORST: mistakes_sheet(examined, mistakes)} if mistakes else {}


def _mistake(examined: Examined, position: int) -> Mistake:
    probability = float(examined.probabilities[position].max())
    return Mistake(
        image_id=examined.image_ids[position],
        true=examined.classes[examined.true[position]],
        answered=examined.classes[examined.predicted[position]],
        probability=probability,
        abstained=probability < examined.predictor.metadata.abstention_threshold,
    )
