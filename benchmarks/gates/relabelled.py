"""One class relabelled as another in a part of its training rows, and whether that model is refused.

The sample's pictures, as EfficientNet-Lite0 sees them, learnt by the linear head in closed form. The champion
learnt from nine tenths of the training rows, correctly labelled; challengers learn from all of them, with a
part of one class relabelled as the one that it is most taken for, as a supplier's mistakes are. All are asked
about the same test rows, whose labels are right, and judged by the gate's code, with the shipped policy, on
what is measured of their answers and in the comparison with the champion.

Wrong labels that make a class look like one that it does not resemble hardly harm a model: fewer than half of
them are wrong, and it tells both apart all the same. How often those are refused is shown beside.
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
from benchmarks.gates.shipped import POLICY, passes
from benchmarks.training.labelled import Features, Labelled, features, sample, split
from benchmarks.training.ridge import Answer, closed_form
from materializers.evaluation_report import EvaluationReport
from materializers.feature_cache import FeatureCache
from materializers.splits import TEST, TRAIN, VALIDATION
from steps.data.checks.suspicious_labels import Features as Thumbnails
from steps.data.checks.suspicious_labels import (
    SuspiciousLabelSettings,
    suspicious_labels,
    thumbnail_features,
)
from steps.evaluation.comparison.compare import Answers, Other, Rows, compare
from steps.evaluation.metrics import evaluate_answers
from steps.training.inputs.examples import Rows as TrainingRows
from tests.materializers.stores import disk_store

SEEDS = 20
LEARNT_SHARE, CHAMPIONS_SHARE = 0.70, 0.90
MANY, FEW = 0.40, 0.10
"""The shares of a class's training rows that are relabelled."""
LEAST_ACCURACY = POLICY.rules["accuracy"].limit
RESAMPLES = 100
"""Behind the intervals of one model's numbers, which no rule on them compares."""


@dataclass(frozen=True)
class Judged:
    """One challenger.

    Attributes:
        refused: by a limit or by the comparison.
        bare: whether a threshold on the measured accuracy and its difference to the champion refuses it.
        accuracy: on the test rows.
    """

    refused: bool
    bare: bool
    accuracy: float


@dataclass(frozen=True)
class Trial:
    """The challengers of one split, and what the data's check found.

    Attributes:
        none: learnt from right labels alone.
        few: with few labels of a class that are wrong.
        many: with many.
        unlike: with as many of any class, relabelled as any other one.
        found: the share of the few wrong labels that the warning of suspicious labels names.
    """

    none: Judged
    few: Judged
    many: Judged
    unlike: Judged
    found: float


def measure(folder: Path) -> list[Claim]:
    """Refusals at 40 and 10 %; features are kept below the folder, which is empty."""
    data = sample()
    kept = features(data, FeatureCache(disk_store(folder)))
    thumbnails = thumbnail_features(data.dataset.index, data.dataset.pictures)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            trials = [trial(data, kept, thumbnails, seed) for seed in range(SEEDS)]
    finally:
        torch.set_num_threads(threads)
    return claims(data.name, trials)


def claims(what: str, trials: list[Trial]) -> list[Claim]:
    """What the trials show."""
    many, few, none, unlike = (
        [getattr(each, name) for each in trials] for name in ("many", "few", "none", "unlike")
    )
    alarms = mean(each.refused for each in none)
    about = f"{len(trials)} models that learnt from one class relabelled as"
    alike = f"the one that it is most taken for, {what}, in"
    return [
        at_least(
            f"refused of {about} {alike} {100 * MANY:g} % of its training rows, test rows clean, which truly "
            f"costs {_lost(none, many)} (where none is relabelled: {alarms:.2f}), beside a bare threshold on "
            "the accuracy",
            mean(each.refused for each in many),
            0.95,
            "",
            peer=mean(each.bare for each in many),
        ),
        _shown(
            f"refused of {about} any other in turn, in {100 * MANY:g} %, which costs "
            f"{_lost(none, unlike)}, beside a bare threshold",
            mean(each.refused for each in unlike),
            mean(each.bare for each in unlike),
        ),
        _shown(
            f"refused of {about} {alike} {100 * FEW:g} %, which costs {_lost(none, few)}, beside a bare "
            "threshold",
            mean(each.refused for each in few),
            mean(each.bare for each in few),
        ),
        _shown(
            f"labels found by the warning of suspicious labels, of those of the {100 * FEW:g} %",
            mean(each.found for each in trials),
            None,
        ),
    ]


def _lost(clean: list[Judged], bad: list[Judged]) -> str:
    """The mean loss of accuracy, in points."""
    lost = mean(each.accuracy - worse.accuracy for each, worse in zip(clean, bad, strict=True))
    return f"{100 * lost:.1f} points"


def _shown(name: str, ours: float, peer: float | None) -> Claim:
    """A figure that is shown, whatever it is."""
    return at_least(name, ours, 0.0, "", peer=peer).model_copy(update={"bar": "shown"})


def trial(data: Labelled, kept: Features, thumbnails: Thumbnails, seed: int) -> Trial:
    """One split; the seeds go through the classes in turn, and through all pairs of them."""
    splits = split(data, seed, round(LEARNT_SHARE * len(data.dataset)))
    train, validation, test = (kept.of(splits.image_ids(name)) for name in (TRAIN, VALIDATION, TEST))
    generator = np.random.default_rng(seed)
    older = torch.from_numpy(generator.permutation(len(train))[: round(CHAMPIONS_SHARE * len(train))])
    champion = closed_form(TrainingRows(train.inputs[older], train.labels[older], train.classes), validation)
    before = _probabilities(champion, test)

    def judged(share: float, wrong: int, instead: int) -> tuple[Judged, NDArray[np.int64]]:
        """The challenger, and the positions of the training rows that were relabelled."""
        members = generator.permutation(np.flatnonzero(train.labels.numpy() == wrong))
        planted = members[: round(share * len(members))]
        labels = train.labels.clone()
        labels[torch.from_numpy(planted)] = instead
        challenger = closed_form(TrainingRows(train.inputs, labels, train.classes), validation)
        return judge(test.labels.numpy(), _probabilities(challenger, test), before, data.classes), planted

    wrong = seed % len(data.classes)
    instead = most_taken_for(_probabilities(champion, validation), validation.labels.numpy(), wrong)
    few, planted = judged(FEW, wrong, instead)
    names = np.array(splits.image_ids(TRAIN), dtype=object)[planted]
    pairs = list(permutations(range(len(data.classes)), 2))
    return Trial(
        none=judged(0, wrong, instead)[0],
        few=few,
        many=judged(MANY, wrong, instead)[0],
        unlike=judged(MANY, *pairs[seed % len(pairs)])[0],
        found=_found(data, thumbnails, set(names.tolist()), data.classes[instead]),
    )


def most_taken_for(probabilities: NDArray[np.float64], true: NDArray[np.int64], wrong: int) -> int:
    """The other class that a class's rows get the largest probability of."""
    mean_of_class = probabilities[true == wrong].mean(axis=0)
    mean_of_class[wrong] = -1
    return int(mean_of_class.argmax())


def judge(
    true: NDArray[np.int64],
    challenger: NDArray[np.float64],
    champion: NDArray[np.float64],
    classes: tuple[str, ...],
) -> Judged:
    """Judge a challenger by its probabilities ``(n, k)`` and the champion's."""
    answers, before = challenger.argmax(axis=1), champion.argmax(axis=1)
    names = np.array(classes, dtype=object)
    nowhere = np.zeros(len(true), dtype=bool)
    comparison = compare(
        Rows(names[true], golden=nowhere, new=nowhere),
        Answers(names[answers], classes),
        Other(Answers(names[before], classes)),
        POLICY.comparison,
    )
    metrics = evaluate_answers(true, answers, challenger, classes, resamples=RESAMPLES, seed=0)
    report = EvaluationReport(
        model="challenger",
        data="",
        splits="",
        n=len(true),
        classes=classes,
        model_bytes=0,
        set_aside=0,
        champion=comparison,
        **vars(metrics),
    )
    accuracy = float((answers == true).mean())
    lost = float((before == true).mean()) - accuracy
    return Judged(
        refused=not passes(report.measured()),
        bare=accuracy < LEAST_ACCURACY or lost > POLICY.comparison.margin,
        accuracy=accuracy,
    )


def _probabilities(answer: Answer, rows: TrainingRows) -> NDArray[np.float64]:
    """What a head gives rows, ``(n, k)``."""
    return answer(rows.inputs).double().softmax(dim=1).numpy()


def _found(data: Labelled, thumbnails: Thumbnails, planted: set[str], instead: str) -> float:
    """The share of the planted labels that the data's check names."""
    index = data.dataset.index
    label = index["label"].where(~index["image_id"].isin(planted), instead)
    _, doubted = suspicious_labels(
        index.assign(label=label), data.dataset.pictures, SuspiciousLabelSettings(), thumbnails
    )
    return len(planted & set(doubted["image_id"])) / len(planted)
