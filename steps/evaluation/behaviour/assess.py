"""Examine how a model behaves on a sample of its test pictures."""

from __future__ import annotations

from typing import Any

import numpy as np

from materializers.evaluation.behaviour import (
    EASY,
    INVARIANCE,
    PREDICTED_CLASSES,
    Behaviour,
)
from steps.evaluation.behaviour.answered_classes import evenness, expected_classes, predicted_share
from steps.evaluation.behaviour.asking import COVER, ask_changed
from steps.evaluation.behaviour.comparing import drop, invariance, less_sure
from steps.evaluation.behaviour.constancy import TOLERANCE, ask_again
from steps.evaluation.behaviour.pictures import broken_sheet, choose
from steps.evaluation.behaviour.settings import BehaviourSettings
from steps.evaluation.examined import Examined
from steps.evaluation.intervals import mean_of, share_of

SHEET = "broken_invariances"


def assess_behaviour(examined: Examined, settings: BehaviourSettings) -> tuple[Behaviour, dict[str, bytes]]:
    """Ask the model again: for changed pictures, for easy ones, and for the same ones.

    Args:
        examined: the model and its test pictures.
        settings: what is asked.

    Returns:
        The numbers, and a sheet of the pictures that an invariance broke for, where there are such.
    """
    if not settings.pictures:
        return Behaviour(not_assessed="evaluate.behaviour.pictures is 0"), {}
    positions = examined.sample(settings.pictures, settings.seed)
    if not len(positions):
        return Behaviour(not_assessed="serving refused every test picture"), {}
    before = examined.probabilities[positions]
    after = ask_changed(examined, positions, (*settings.transformations, COVER), settings)
    covered = after.pop(COVER)
    again = ask_again(examined, positions, settings.seed)
    section = Behaviour(
        pictures=len(positions),
        invariances=tuple(invariance(name, before, rows) for name, rows in after.items()),
        covering=share_of(less_sure(before, covered)),
        covering_drop=mean_of(drop(before, covered)),
        twice=share_of(again.twice),
        another_batch=share_of(again.another_batch),
        largest_difference=again.largest_difference,
        tolerance=TOLERANCE,
        **_easy(examined, settings),
        **_answered(examined, settings),
    )
    section = section.model_copy(update={"missing": _missing(section, settings)})
    broken = choose(before, after)
    return section, {SHEET: broken_sheet(examined, positions, broken, settings)} if broken else {}


def _easy(examined: Examined, settings: BehaviourSettings) -> dict[str, Any]:
    """Whether the listed test pictures are answered right."""
    places = {image_id: place for place, image_id in enumerate(examined.image_ids)}
    tested = [name for name in settings.easy_list if name in places]
    positions = np.array([places[name] for name in tested], dtype=np.int64)
    right = examined.predicted[positions] == examined.true[positions]
    return {
        "easy": share_of(right) if tested else None,
        "easy_wrong": tuple(name for name, held in zip(tested, right.tolist(), strict=True) if not held),
        "easy_unknown": tuple(name for name in settings.easy_list if name not in places),
    }


def _answered(examined: Examined, settings: BehaviourSettings) -> dict[str, Any]:
    """Which classes are answered at all; every test picture counts, not the sample."""
    k = len(examined.classes)
    expected = expected_classes(examined.true, k, settings.min_n)
    absent = expected[~np.isin(expected, examined.predicted)]
    return {
        "predicted_classes": predicted_share(expected, examined.predicted) if len(expected) else None,
        "never_predicted": tuple(examined.classes[number] for number in absent.tolist()),
        "answer_entropy": evenness(examined.predicted, k),
        "true_entropy": evenness(examined.true, k),
    }


def _missing(section: Behaviour, settings: BehaviourSettings) -> dict[str, str]:
    """Why a metric was not measured, by its name."""
    what = "no test picture" if settings.easy_list else "no picture"
    reasons = {
        INVARIANCE: (section.invariances, "evaluate.behaviour.transformations names none"),
        EASY: (section.easy, f"evaluate.behaviour.easy_list names {what}"),
        PREDICTED_CLASSES: (
            section.predicted_classes,
            f"no class has {settings.min_n:,} test pictures, which evaluate.behaviour.min_n asks for",
        ),
    }
    return {name: reason for name, (found, reason) in reasons.items() if not found}
