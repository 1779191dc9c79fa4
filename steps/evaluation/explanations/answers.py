"""The answers that are explained, with their attributions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steps.evaluation.explanations.attributions import (
    Maps,
    blurred,
    grad_cam,
    integrated_gradients,
    last_map_layer,
)
from steps.evaluation.metrics import UNUSABLE

if TYPE_CHECKING:
    from torch import nn

    from steps.evaluation.examined import Examined


@dataclass(frozen=True)
class ExplainedAnswers:
    """Some answers of a model, and what each pixel adds to them.

    Args:
        positions: ``(n,)``, of the pictures among the test pictures, ascending.
        pixels: ``(n, height, width, 3)`` uint8, RGB.
        missing: the same pictures with every pixel missing.
        answered: ``(n,)``, the class numbers of the answers.
        gradients: their Integrated Gradients.
        cam: their Grad-CAM; None where the network has no layer for it.
    """

    positions: NDArray[np.int64]
    pixels: NDArray[np.uint8]
    missing: NDArray[np.uint8]
    answered: NDArray[np.int64]
    gradients: Maps
    cam: Maps | None

    def at(self, positions: NDArray[np.int64]) -> ExplainedAnswers:
        """Those of some of the pictures, in the order given."""
        rows = np.searchsorted(self.positions, positions)
        return ExplainedAnswers(
            positions=positions,
            pixels=self.pixels[rows],
            missing=self.missing[rows],
            answered=self.answered[rows],
            gradients=self.gradients[rows],
            cam=None if self.cam is None else self.cam[rows],
        )


def explain_answers(
    network: nn.Module,
    positions: NDArray[np.int64],
    pixels: NDArray[np.uint8],
    answered: NDArray[np.int64],
    *,
    steps: int,
) -> ExplainedAnswers:
    """Compute both attributions of these answers; see :class:`ExplainedAnswers` for the arguments.

    Args:
        network: ``(n, height, width, 3)`` float32 from 0 to 255 to logits; in ``eval()``.
        positions: n of them.
        pixels: of the n pictures.
        answered: of the n pictures.
        steps: gradients that Integrated Gradients takes for a picture.
    """
    missing, layer = blurred(pixels), last_map_layer(network, pixels[0])
    return ExplainedAnswers(
        positions=positions,
        pixels=pixels,
        missing=missing,
        answered=answered,
        gradients=integrated_gradients(network, pixels, missing, answered, steps=steps),
        cam=None if layer is None else grad_cam(network, layer, pixels, answered),
    )


def shown_answers(examined: Examined, chosen: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Pick the answers that a person is shown.

    Args:
        examined: all of them.
        chosen: positions of the pictures that right answers are taken from.
        count: right ones at most, and as many wrong ones.

    Returns:
        Positions: right answers, each class once before any twice; then the wrong ones that the model was
        surest of.
    """
    true, predicted = examined.true, examined.predicted
    right = chosen[true[chosen] == predicted[chosen]]
    before = np.array([np.count_nonzero(true[right[:row]] == true[each]) for row, each in enumerate(right)])
    first = right[np.lexsort((true[right], before))] if len(right) else right
    wrong = np.flatnonzero((predicted != UNUSABLE) & (predicted != true))
    sure = examined.probabilities[wrong, predicted[wrong]]
    return np.concatenate([first[:count], wrong[np.argsort(-sure, kind="stable")][:count]])
