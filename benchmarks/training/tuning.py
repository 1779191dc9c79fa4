"""Tuning on cached features: what Hyperband saves, and whether the best score suffers.

Features are synthetic, of ten classes that overlap; what is compared are whole studies of the same seeds with
and without pruning, journal included, in CPU time of one thread.
"""

from __future__ import annotations

import math
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Literal

import torch

from benchmarks.claim import Claim, at_most
from steps.training.inputs.examples import Rows
from steps.training.material import Material, new_head
from steps.training.settings import TrainSettings
from steps.training.tuning.search import TuneSettings
from steps.training.tuning.study import Study, Task, best_of, finish
from steps.training.tuning.study_storage import Where

SEEDS, QUICK_SEEDS = 10, 2
TRIALS, EPOCHS = 50, 50
CLASSES, FEATURES, HIDDEN = 10, 64, 64
LEARNT, CHECKED = 1000, 2000
DISTANCE = 1.5
"""Of the classes' means from the middle, in deviations of a class: about two rows in three are right."""
TIME_LIMIT, SCORE_LIMIT = 0.65, 0.5
T_95 = {9: 1.833, 1: 6.314}
"""Student's t, one-sided 95 %, by degrees of freedom (seeds − 1)."""


def synthetic_features(seed: int) -> Material:
    """Gaussian classes in the place of a backbone's features; training rows, then validation rows."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.nn.functional.normalize(torch.randn(CLASSES, FEATURES, generator=generator))
    labels = torch.arange(LEARNT + CHECKED) % CLASSES
    noise = torch.randn(len(labels), FEATURES, generator=generator)
    everything = Rows(centres[labels] * DISTANCE * math.sqrt(2) + noise, labels, CLASSES)
    train = Rows(everything.inputs[:LEARNT], labels[:LEARNT], CLASSES)
    validation = Rows(everything.inputs[LEARNT:], labels[LEARNT:], CLASSES)
    new_model = partial(new_head, features=FEATURES, classes=CLASSES)
    return Material(train, validation, new_model, everything)


def study_of(seed: int, pruner: Literal["hyperband", "none"]) -> tuple[float, float, int]:
    """CPU seconds, best score and epochs of one study with the product's search space."""
    settings = TrainSettings(
        weights="package",
        hidden=HIDDEN,
        epochs=EPOCHS,
        threads=1,
        seed=seed,
        architecture="efficientnet_lite0",
    )
    material = synthetic_features(seed)
    with tempfile.TemporaryDirectory(prefix="shutterline-bench-") as folder:
        search = TuneSettings(trials=TRIALS, pruner=pruner, seed=seed)
        begun = time.process_time()
        study = Study(Task(Where(f"study {seed}", folder=Path(folder)), search, settings))
        finish(study, material, TRIALS, lambda: None)
        seconds = time.process_time() - begun
        trials = study.finished()
        study.place.close()
    best = best_of(trials)
    score = max(each.score or 0.0 for each in trials if each.parameters == best)
    return seconds, score, sum(len(each.val_accuracy) for each in trials)


def measure(*, quick: bool) -> list[Claim]:
    """Time and best score of Hyperband against none, mean of the seeds."""
    seeds = range(QUICK_SEEDS if quick else SEEDS)
    study_of(seeds[0], "none")  # imports
    pairs = [(study_of(seed, "hyperband"), study_of(seed, "none")) for seed in seeds]
    ours, peer = (math.fsum(pair[side][0] for pair in pairs) / len(pairs) for side in (0, 1))
    losses = [100 * (none[1] - pruned[1]) for pruned, none in pairs]
    mean = math.fsum(losses) / len(losses)
    deviation = math.sqrt(math.fsum((each - mean) ** 2 for each in losses) / (len(losses) - 1))
    bound = mean + T_95[len(losses) - 1] * deviation / math.sqrt(len(losses))
    timed = at_most(
        f"tuning with Hyperband against none, CPU-s of a study, mean of {len(pairs)} seeds",
        ours,
        TIME_LIMIT * peer,
        "s",
        peer=peer,
    )
    scored = at_most(
        f"best score lost by pruning, upper 95 % bound of {len(pairs)} seeds (mean {mean:+.2f})",
        bound,
        SCORE_LIMIT,
        "points",
    )
    return [timed, scored]
