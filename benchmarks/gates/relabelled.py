"""One class relabelled as another in a part of its training rows, and whether that model is refused.

The sample's pictures, as EfficientNet-Lite0 sees them, learnt by the linear head in closed form. The champion
learnt from nine tenths of the training rows, correctly labelled; challengers learn from all of them, with a
part of one class relabelled. All are asked about the same test rows, whose labels are right, and judged by
the limits of each class and by the comparison with the champion, both with the product's values.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.claim import Claim, at_least
from benchmarks.training.labelled import Features, Labelled, features, sample, split
from benchmarks.training.ridge import closed_form
from materializers.evaluation.comparison import Comparison
from materializers.feature_cache import FeatureCache
from materializers.splits import TEST, TRAIN, VALIDATION
from steps.data.checks.suspicious_labels import Features as Thumbnails
from steps.data.checks.suspicious_labels import (
    SuspiciousLabelSettings,
    suspicious_labels,
    thumbnail_features,
)
from steps.evaluation.comparison.compare import Answers, Other, Rows, compare
from steps.evaluation.comparison.settings import ComparisonSettings
from steps.evaluation.metrics import evaluate_answers
from steps.training.inputs.examples import Rows as TrainingRows
from tests.materializers.stores import disk_store

SEEDS, QUICK_SEEDS = 20, 4
LEARNT_SHARE, CHAMPIONS_SHARE = 0.70, 0.90
MANY, FEW, NONE = 0.40, 0.10, 0.0
"""The shares of a class's training rows that are relabelled."""
LEAST_ACCURACY, LEAST_OF_A_CLASS = 0.85, 0.80
"""The product's limits: of all rows; of each class's precision and recall."""
SETTINGS = ComparisonSettings()


@dataclass(frozen=True)
class Judged:
    """One challenger.

    Attributes:
        refused: by a limit or by the comparison.
        bare: whether a threshold on the measured accuracy and its difference to the champion refuses it.
        accuracy: on the test rows.
        recall: of the class that was relabelled.
    """

    refused: bool
    bare: bool
    accuracy: float
    recall: float


@dataclass(frozen=True)
class Trial:
    """The challengers of one split, by the share that was relabelled, and what the data's check found.

    Attributes:
        judged: by share.
        found: the share of the few relabelled rows that the warning of suspicious labels names.
    """

    judged: dict[float, Judged]
    found: float


def measure(folder: Path, *, quick: bool) -> list[Claim]:
    """Refusals at 40 and 10 %; features are kept below the folder, which is empty; quick: fewer splits."""
    data = sample()
    kept = features(data, FeatureCache(disk_store(folder)))
    thumbnails = thumbnail_features(data.dataset.index, data.dataset.pictures)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            trials = [trial(data, kept, thumbnails, seed) for seed in range(QUICK_SEEDS if quick else SEEDS)]
    finally:
        torch.set_num_threads(threads)
    return claims(data.name, trials)


def claims(what: str, trials: list[Trial]) -> list[Claim]:
    """What the trials show."""
    many, few, none = ([each.judged[share] for each in trials] for share in (MANY, FEW, NONE))
    lost, lost_of_class = (
        mean(getattr(clean, name) - getattr(bad, name) for clean, bad in zip(none, few, strict=True))
        for name in ("accuracy", "recall")
    )
    about = f"of {len(trials)} models that learnt from one class relabelled as another, {what}"
    return [
        at_least(
            f"refused {about}, in {100 * MANY:g} % of its training rows, test rows clean (where "
            f"none is: {mean(each.refused for each in none):.2f}), beside a bare threshold on the accuracy",
            mean(each.refused for each in many),
            0.95,
            "",
            peer=mean(each.bare for each in many),
        ),
        _printed(
            f"refused {about}, in {100 * FEW:g} % of them, which truly costs {100 * lost:.2f} points of "
            f"accuracy and {100 * lost_of_class:.2f} of the class's recall, beside a bare threshold",
            mean(each.refused for each in few),
            mean(each.bare for each in few),
        ),
        _printed(
            f"labels found by the warning of suspicious labels, of those relabelled in {100 * FEW:g} % of a "
            f"class's training rows, {what}",
            mean(each.found for each in trials),
            None,
        ),
    ]


def _printed(name: str, ours: float, peer: float | None) -> Claim:
    """A figure that is shown, whatever it is."""
    return at_least(name, ours, 0.0, "", peer=peer).model_copy(update={"bar": "shown"})


def trial(data: Labelled, kept: Features, thumbnails: Thumbnails, seed: int) -> Trial:
    """One split, on which one class is relabelled as one other; the seeds go through all pairs in turn."""
    pairs = list(permutations(range(len(data.classes)), 2))
    wrong, instead = pairs[seed % len(pairs)]
    splits = split(data, seed, round(LEARNT_SHARE * len(data.dataset)))
    train, validation, test = (kept.of(splits.image_ids(name)) for name in (TRAIN, VALIDATION, TEST))
    generator = np.random.default_rng(seed)
    older = torch.from_numpy(generator.permutation(len(train))[: round(CHAMPIONS_SHARE * len(train))])
    champion = _scores(
        TrainingRows(train.inputs[older], train.labels[older], train.classes), validation, test
    )
    members = generator.permutation(np.flatnonzero(train.labels.numpy() == wrong))
    judged, found = {}, 0.0
    for share in (NONE, FEW, MANY):
        planted = members[: round(share * len(members))]
        labels = train.labels.clone()
        labels[torch.from_numpy(planted)] = instead
        challenger = _scores(TrainingRows(train.inputs, labels, train.classes), validation, test)
        judged[share] = judge(test.labels.numpy(), challenger, champion, data.classes, wrong)
        if share == FEW:
            names = np.array(splits.image_ids(TRAIN), dtype=object)[planted]
            found = _found(data, thumbnails, set(names.tolist()), data.classes[instead])
    return Trial(judged, found)


def judge(
    true: NDArray[np.int64],
    challenger: NDArray[np.float64],
    champion: NDArray[np.float64],
    classes: tuple[str, ...],
    relabelled: int,
) -> Judged:
    """Judge a challenger by its probabilities ``(n, k)`` and the champion's."""
    answers, before = challenger.argmax(axis=1), champion.argmax(axis=1)
    metrics = evaluate_answers(true, answers, challenger, classes, resamples=0, seed=0)
    shares = [
        share.value or 0.0 for one in metrics.per_class.values() for share in (one.precision, one.recall)
    ]
    names = np.array(classes, dtype=object)
    nowhere = np.zeros(len(true), dtype=bool)
    comparison = compare(
        Rows(names[true], golden=nowhere, new=nowhere),
        Answers(names[answers], classes),
        Other(Answers(names[before], classes)),
        SETTINGS,
    )
    accuracy = float((answers == true).mean())
    small = accuracy < LEAST_ACCURACY
    return Judged(
        refused=small or min(shares) < LEAST_OF_A_CLASS or not _stands(comparison),
        bare=small or accuracy - float((before == true).mean()) < -SETTINGS.margin,
        accuracy=accuracy,
        recall=metrics.per_class[classes[relabelled]].recall.value or 0.0,
    )


def _stands(comparison: Comparison) -> bool:
    """Whether a loss of the margin is excluded and no class is harmed."""
    for each in comparison.measured():
        if each.value is None or each.value.value is None:
            continue
        if each.metric == "class_harm" and each.value.value < SETTINGS.harm_alpha:
            return False
        if each.metric == "accuracy_difference_to_champion" and (
            each.value.low is None or each.value.low < -SETTINGS.margin
        ):
            return False
    return comparison.not_assessed is None


def _scores(train: TrainingRows, validation: TrainingRows, test: TrainingRows) -> NDArray[np.float64]:
    """The probabilities ``(n, k)`` that a head which learnt from these rows gives the test rows."""
    logits = closed_form(train, validation)(test.inputs)
    return logits.double().softmax(dim=1).numpy()


def _found(data: Labelled, thumbnails: Thumbnails, planted: set[str], instead: str) -> float:
    """The share of the planted labels that the data's check names."""
    index = data.dataset.index
    label = index["label"].where(~index["image_id"].isin(planted), instead)
    _, doubted = suspicious_labels(
        index.assign(label=label), data.dataset.pictures, SuspiciousLabelSettings(), thumbnails
    )
    return len(planted & set(doubted["image_id"])) / len(planted)
