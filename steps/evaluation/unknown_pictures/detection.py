"""How well a score tells unknown pictures from known ones: the area under the ROC curve, with intervals."""

from __future__ import annotations

import numpy as np

from materializers.evaluation.unknown_pictures import Detection
from steps.evaluation.intervals import Array, drawn_weights, wilson, with_interval
from steps.evaluation.metrics import roc_auc
from steps.evaluation.unknown_pictures.scoring import Scored

KNOWN, NEAR, FAR = "known", "near", "far"


def detections(
    scored: dict[str, Scored], threshold: float, *, resamples: int, seed: int
) -> dict[str, Detection]:
    """How well the near pictures, the far ones, and those of each kind are told from the known ones.

    Args:
        scored: m known, m near and m far pictures; row i of the near ones was made of row i of the known.
        threshold: of the served model.
        resamples: how many bootstrap resamples; each draws a near picture as often as
            the (first) one that it was made of.
        seed: of the resamples.

    Returns:
        By ``near``, ``far`` and kind.
    """
    known = scored[KNOWN]
    m = len(known.sure)
    groups = {
        name: (side, rows)
        for side in (NEAR, FAR)
        for name, rows in {side: np.arange(m), **scored[side].rows_by_kind()}.items()
    }
    drawn: dict[str, list[Array]] = {name: [] for name in groups}
    first = drawn_weights(m, resamples=resamples, seed=seed)
    second = drawn_weights(m, resamples=resamples, seed=seed + 1)
    for here, there in zip(first, second, strict=True):
        for name, (side, rows) in groups.items():
            weights = np.concatenate([here, (here if side == NEAR else there)[:, rows]], axis=1)
            drawn[name].append(_areas(known, scored[side].of(rows), weights))
    found = {}
    for name, (side, rows) in groups.items():
        unknown, n = scored[side].of(rows), m + len(rows)
        points = _areas(known, unknown, np.ones((1, n)))[:, 0].tolist()
        both = np.concatenate(drawn[name], axis=1)
        metrics = [with_interval(point, each, n) for point, each in zip(points, both, strict=True)]
        answered = wilson(int((unknown.sure >= threshold).sum()), len(rows))
        alike = metrics[1] if len(metrics) > 1 else None
        found[name] = Detection(auroc=metrics[0], embedding_auroc=alike, answered=answered)
    return found


def _areas(known: Scored, unknown: Scored, weights: Array) -> Array:
    """The AUROC of each score ``(scores, resamples)``, under ``weights`` of known and then unknown rows."""
    pairs = [(known.sure, unknown.sure)]
    if known.alike is not None and unknown.alike is not None:
        pairs.append((known.alike, unknown.alike))
    is_known = np.arange(weights.shape[1]) < len(known.sure)
    return np.stack([roc_auc(weights, is_known, np.concatenate(pair)) for pair in pairs])
