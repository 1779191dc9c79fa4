"""Explain a sample of a model's answers, and find out whether the explanations are about the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from materializers.evaluation.explanations import (
    Deletion,
    Explained,
    Explanations,
    Features,
    WeightRandomization,
)
from steps.evaluation.explanations.answers import ExplainedAnswers, explain_answers, shown_answers
from steps.evaluation.explanations.settings import ExplanationsSettings
from steps.evaluation.intervals import mean_of

if TYPE_CHECKING:
    from steps.evaluation.examined import Examined
    from steps.evaluation.torch_network import Logits

SHEET, IMPORTANCE = "model_explainability_reports", "feature_importance"
"""The pictures, by the names of the artifacts that they become."""
LEAST_PICTURES = 10
"""The mean of fewer has no interval to trust."""
SETTING = "evaluate.explanations.pictures"
NO_MAP = "its network has no convolutional layer before its head, which Grad-CAM needs"


def assess_explanations(
    examined: Examined, settings: ExplanationsSettings
) -> tuple[Explanations, dict[str, bytes]]:
    """Explain answers, and test the explanations.

    Returns:
        The numbers, and two PNGs: a sheet of explained answers and a chart of the important features. What
        cannot be assessed says why, and has no picture.
    """
    from steps.evaluation.torch_network import NoTorchNetwork, served_network

    chosen = examined.sample(settings.pictures, settings.seed)
    if (reason := _too_few(len(chosen), settings.pictures)) is not None:
        return Explanations(not_assessed=reason), {}
    shown = shown_answers(examined, chosen, settings.shown)
    positions = np.union1d(chosen, shown)
    pixels = examined.pixels(positions)
    try:
        network = served_network(examined.classifier, pixels, examined.predictor.scores(pixels)[0])
    except NoTorchNetwork as error:
        return Explanations(not_assessed=str(error)), {}
    explained = explain_answers(
        network, positions, pixels, examined.predicted[positions], steps=settings.steps
    )
    return _section(examined, network, explained.at(chosen), explained.at(shown), settings)


def _too_few(answers: int, wanted: int) -> str | None:
    """Why so few answers are not explained; None where they suffice."""
    if wanted == 0:
        return f"{SETTING} is 0: no answer was explained"
    if answers >= LEAST_PICTURES:
        return None
    return (
        f"{answers} answers could be explained, and fewer than {LEAST_PICTURES} give no interval: raise "
        f"{SETTING}, which is {wanted}, or deliver more pictures"
    )


def _section(
    examined: Examined,
    network: Logits,
    sample: ExplainedAnswers,
    shown: ExplainedAnswers,
    settings: ExplanationsSettings,
) -> tuple[Explanations, dict[str, bytes]]:
    """The numbers of the sample, and the pictures of what is shown."""
    from steps.evaluation.explanations.pictures import explanation_sheet, importance_picture

    features = measure_features(examined, network, sample, settings)
    section = Explanations(
        pictures=len(sample.pixels),
        right=int(np.count_nonzero(examined.true[sample.positions] == sample.answered)),
        steps=settings.steps,
        completeness_error=completeness_error(examined, sample),
        deletion=measure_deletion(examined, sample, settings),
        randomization=measure_randomization(examined, sample, settings),
        features=features,
        grad_cam_not_assessed=NO_MAP if sample.cam is None else None,
        shown=_captions(examined, shown),
    )
    pictures = {IMPORTANCE: importance_picture(features.first)}
    if section.shown:
        pictures[SHEET] = explanation_sheet(section.shown, shown)
    return section, pictures


def measure_deletion(
    examined: Examined, sample: ExplainedAnswers, settings: ExplanationsSettings
) -> Deletion:
    """Delete what the explanations put first, and score what is left by the code that serves."""
    from steps.evaluation.explanations.deletion import DeletionTest

    test = DeletionTest(
        predictor=examined.predictor,
        pixels=sample.pixels,
        missing=sample.missing,
        answered=sample.answered,
        share=settings.deleted_share,
        seed=settings.seed,
    )
    gradients, random = test.drops(sample.gradients), test.random_drops(settings.random_draws)
    cam = None if sample.cam is None else test.drops(sample.cam)
    return Deletion(
        share=settings.deleted_share,
        random_draws=settings.random_draws,
        integrated_gradients=mean_of(gradients),
        grad_cam=None if cam is None else mean_of(cam),
        random=mean_of(random),
        margin=mean_of(gradients - random),
        margin_grad_cam=None if cam is None else mean_of(cam - random),
    )


def measure_randomization(
    examined: Examined, sample: ExplainedAnswers, settings: ExplanationsSettings
) -> WeightRandomization:
    """Explain the first of the answers by a network with random weights, and compare."""
    from steps.evaluation.explanations.attributions import integrated_gradients
    from steps.evaluation.explanations.randomization import similarities
    from steps.evaluation.torch_network import untrained_network

    some = sample.at(sample.positions[: settings.randomized_pictures])
    random = untrained_network(examined.classifier.record, settings.seed)
    theirs = integrated_gradients(random, some.pixels, some.missing, some.answered, steps=settings.steps)
    return WeightRandomization(
        order=mean_of(similarities(some.gradients, theirs)),
        sizes=mean_of(similarities(np.abs(some.gradients), np.abs(theirs))),
    )


def measure_features(
    examined: Examined, network: Logits, sample: ExplainedAnswers, settings: ExplanationsSettings
) -> Features:
    """Explain the answers by the dimensions of the embedding."""
    from steps.evaluation.explanations.importance import contributions, rank_dimensions

    embeddings = examined.predictor.scores(sample.pixels)[1]
    contributed = contributions(network.network.head, embeddings, sample.answered, steps=settings.steps)
    total, first = rank_dimensions(contributed, sample.answered, examined.classes)
    return Features(dimensions=embeddings.shape[1], total=total, first=first)


def completeness_error(examined: Examined, sample: ExplainedAnswers) -> float | None:
    """By how much the sums of Integrated Gradients miss the differences of the served logits.

    The mean distance as a share of the mean size of these differences; None where there are none.
    """
    rows = np.arange(len(sample.pixels))
    logits, without = (
        examined.predictor.scores(pixels)[0][rows, sample.answered].astype(np.float64)
        for pixels in (sample.pixels, sample.missing)
    )
    differences = logits - without
    missed = np.abs(sample.gradients.sum(axis=(1, 2)) - differences).mean()
    size = np.abs(differences).mean()
    return float(missed / size) if size > 0 and np.isfinite(missed / size) else None


def _captions(examined: Examined, shown: ExplainedAnswers) -> tuple[Explained, ...]:
    return tuple(
        Explained(
            image_id=examined.image_ids[position],
            true=examined.classes[examined.true[position]],
            answered=examined.classes[answered],
            probability=float(examined.probabilities[position, answered]),
        )
        for position, answered in zip(shown.positions.tolist(), shown.answered.tolist(), strict=True)
    )
