"""A linear probe with scikit-learn, the peer of heads on features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from torch import Tensor

from steps.training.inputs.examples import Rows

INVERSE_STRENGTHS = tuple(float(10 ** (power / 2)) for power in range(-8, 2))
"""Values of C, from 0.0001 to 3.2: as many as the closed form has strengths."""
ITERATIONS = 1000
"""scikit-learn's default of 100 ends before it has converged, and says so."""


class Probe:
    """Logistic regression with the C that is best on validation data."""

    def __init__(
        self,
        train: Rows,
        validation: Rows,
        inverse_strengths: Sequence[float] = INVERSE_STRENGTHS,
        *,
        standardised: bool = True,
    ) -> None:
        """Fit once for each C, by one thread, on standardised features or on features as they are."""
        with threadpool_limits(1):  # threads of OpenBLAS that wait for one another count as CPU time
            fitted = [_fit(train, value, standardised) for value in inverse_strengths]
        self._best = max(fitted, key=lambda each: _score(each, validation)) if len(fitted) > 1 else fitted[0]

    def __call__(self, features: Tensor) -> Tensor:
        """Features ``(n, d)`` float32 to logits ``(n, classes)``."""
        return torch.from_numpy(self._best.decision_function(features.numpy()))


def _fit(train: Rows, inverse_strength: float, standardised: bool) -> Pipeline:
    regression = LogisticRegression(C=inverse_strength, max_iter=ITERATIONS)
    steps = [StandardScaler(), regression] if standardised else [regression]
    return make_pipeline(*steps).fit(train.inputs.numpy(), train.labels.numpy())


def _score(fitted: Pipeline, validation: Rows) -> float:
    return float(fitted.score(validation.inputs.numpy(), validation.labels.numpy()))
