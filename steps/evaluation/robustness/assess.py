"""Measure what a model withstands, through the code that would serve it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from materializers.evaluation.robustness import Robustness

if TYPE_CHECKING:
    from steps.evaluation.examined import Examined
    from steps.evaluation.robustness.settings import RobustnessSettings

SHEET, CURVES = "corruptions", "relative_accuracy"


def assess_robustness(
    examined: Examined, settings: RobustnessSettings
) -> tuple[Robustness, dict[str, bytes]]:
    """Corrupt and attack a sample of the test pictures, and ask the served model for each.

    Args:
        examined: the model; gradients come from its weights, all answers from its predictor.
        settings: how many pictures, and what is done to them.

    Returns:
        The numbers, and PNG pictures by name: a sheet of the corruptions, and the accuracy by severity.
    """
    if not settings.pictures:
        return Robustness(not_assessed="switched off: evaluate.robustness.pictures is 0"), {}
    sample = examined.sample(settings.pictures, settings.seed)
    if not len(sample):
        return Robustness(not_assessed="no test picture has an answer"), {}
    from steps.evaluation.intervals import share_of
    from steps.evaluation.robustness.attacked import assess_attacks
    from steps.evaluation.robustness.corrupted import assess_corruptions, corrupted_answers
    from steps.evaluation.robustness.pictures import corruption_sheet, severity_curves

    clean, under = corrupted_answers(examined, sample, settings)
    true = examined.true[sample]
    right = {cell: answers == true for cell, answers in under.items()}
    relative_accuracy, corruptions = assess_corruptions(clean == true, right, settings)
    attacked_accuracy, attacks, reason = assess_attacks(examined, settings)
    section = Robustness(
        accuracy=share_of(clean == true),
        relative_accuracy=relative_accuracy,
        corruptions=corruptions,
        attacked_accuracy=attacked_accuracy,
        attacks=attacks,
        attacks_not_assessed=reason,
    )
    first_right = int(sample[np.argmax(clean == true)])
    return section, {
        SHEET: corruption_sheet(examined, first_right, settings),
        CURVES: severity_curves(corruptions, relative_accuracy),
    }
