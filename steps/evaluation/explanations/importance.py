"""Which dimensions of the embedding the answers rest on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from materializers.evaluation.explanations import FeatureImportance

if TYPE_CHECKING:
    from torch import nn

Array = NDArray[np.float64]
MOST_NAMED = 20
"""Dimensions that a report names."""


def contributions(
    head: nn.Module, embeddings: NDArray[np.float32], answered: NDArray[np.int64], *, steps: int
) -> Array:
    """What each dimension adds to the logit of each answer: Integrated Gradients through the head.

    They are taken from the mean embedding of these pictures, so that a picture's contributions sum to its
    logit less that of the mean embedding (Sundararajan, Taly and Yan, 2017). A permutation of each dimension
    would say how much the answers need it, but not which way it moves them, and costs a pass a dimension.

    Args:
        head: ``(n, d)`` float32 to logits ``(n, k)``; in ``eval()``.
        embeddings: ``(n, d)``, as served.
        answered: ``(n,)``, the class numbers whose logits are explained.
        steps: gradients along the way.

    Returns:
        ``(n, d)``, in logits.
    """
    import torch
    from captum.attr import IntegratedGradients

    given = torch.from_numpy(embeddings)
    found = IntegratedGradients(head).attribute(
        given,
        baselines=given.mean(dim=0, keepdim=True),
        target=torch.from_numpy(answered),
        n_steps=steps,
        internal_batch_size=max(1024, len(embeddings)),
    )
    return np.asarray(found.detach().double().numpy())


def rank_dimensions(
    contributed: Array, answered: NDArray[np.int64], classes: Sequence[str]
) -> tuple[float, tuple[FeatureImportance, ...]]:
    """The most important dimensions, and the importance of all.

    Args:
        contributed: ``(n, d)``, as :func:`contributions` gives them.
        answered: ``(n,)``, class numbers.
        classes: their names.

    Returns:
        The sum over all dimensions, in logits, and the first 20 of them, the most important one first.
    """
    importance = np.abs(contributed).mean(axis=0)
    total = float(importance.sum())
    numbers = np.unique(answered)
    by_class = np.stack([contributed[answered == number].mean(axis=0) for number in numbers])
    first = np.argsort(-importance, kind="stable")[:MOST_NAMED]
    return total, tuple(
        FeatureImportance(
            dimension=int(dimension),
            importance=float(importance[dimension]),
            share=float(importance[dimension]) / total if total else 0.0,
            label=classes[int(numbers[by_class[:, dimension].argmax()])],
        )
        for dimension in first
    )
