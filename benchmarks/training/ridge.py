"""The linear head in closed form, beside scikit-learn's LogisticRegression on the same features.

3,000 rows of 1,280 features to learn from, the other pictures in halves to choose by and to test. CPU time,
one thread each.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import TypeAlias

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from benchmarks.claim import Claim, at_least, at_most
from benchmarks.training.labelled import SEEDS, Features, Labelled, accuracy, features, labelled, split
from benchmarks.training.probe import INVERSE_STRENGTHS, Probe
from materializers.feature_cache import FeatureCache
from materializers.splits import TEST, TRAIN, VALIDATION
from steps.training.fitting.ridge import fit_ridge
from steps.training.inputs.examples import Rows
from steps.training.networks.backbones import LITE0_FEATURES
from tests.materializers.stores import disk_store

LEARNT = 3000
QUICK_SEEDS = 2
CLOSED_FORM = "closed form"
Answer: TypeAlias = Callable[[Tensor], Tensor]
"""Features ``(n, d)`` to logits ``(n, classes)``."""
Way: TypeAlias = Callable[[Rows, Rows], Answer]
"""From training and validation rows to what answers."""
PEERS: dict[str, Way] = {
    "one fit of LogisticRegression, C = 1, on the features as they are": partial(
        Probe, inverse_strengths=(1.0,), standardised=False
    ),
    f"LogisticRegression with the best of {len(INVERSE_STRENGTHS)} C on the same validation pictures": Probe,
}
"""scikit-learn's. Standardised features, on which the second one learns, take it less time."""


@dataclass(frozen=True)
class Measured:
    """CPU seconds and accuracy on test pictures, one a split."""

    seconds: list[float]
    accuracies: list[float]


def measure(folder: Path, *, quick: bool) -> list[Claim]:
    """Time and accuracy of each way; features are kept below the folder; quick: on two splits of five."""
    data = labelled()
    kept = features(data, FeatureCache(disk_store(folder)))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        # All the time: a thread of OpenBLAS that a fit has woken goes on spinning in what is timed next.
        with threadpool_limits(1):
            found = compared(data, kept, QUICK_SEEDS if quick else SEEDS)
    finally:
        torch.set_num_threads(threads)
    return [claim for name in PEERS for claim in _beside(data.name, name, found)]


def compared(data: Labelled, kept: Features, seeds: int, learnt: int = LEARNT) -> dict[str, Measured]:
    """Each way on each split, in turn, so that a busy moment meets all of them."""
    ways = {CLOSED_FORM: closed_form, **PEERS}
    found = {name: Measured([], []) for name in ways}
    for seed in range(seeds):
        splits = split(data, seed, learnt)
        train, validation, test = (kept.of(splits.image_ids(name)) for name in (TRAIN, VALIDATION, TEST))
        if seed == 0:
            closed_form(train, validation)  # warms up
        for name, way in ways.items():
            begun = time.process_time()
            answer = way(train, validation)
            found[name].seconds.append(time.process_time() - begun)
            found[name].accuracies.append(accuracy(answer(test.inputs), test.labels))
    return found


def closed_form(train: Rows, validation: Rows) -> Answer:
    """The product's head of the name ``ridge``."""
    head = nn.Linear(train.inputs.shape[1], train.classes)
    fit_ridge(head, train, validation)
    return head.requires_grad_(False)


def _beside(what: str, name: str, found: dict[str, Measured]) -> list[Claim]:
    ours, peer = found[CLOSED_FORM], found[name]
    rows, count = f"{LEARNT:,} × {LITE0_FEATURES:,} features of {what}", len(ours.seconds)
    return [
        at_most(
            f"closed-form linear head, its strength chosen on validation pictures, on {rows}: CPU, one "
            f"thread, median of {count} splits, beside scikit-learn's {name}",
            median(ours.seconds),
            0.2 * median(peer.seconds),
            "s",
            peer=median(peer.seconds),
        ),
        at_least(
            f"its accuracy on test pictures, mean of {count} splits, beside {name}",
            mean(ours.accuracies),
            mean(peer.accuracies) - 0.005,
            "",
            peer=mean(peer.accuracies),
        ),
    ]
