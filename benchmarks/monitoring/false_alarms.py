"""How often a window that differs in nothing raises an alarm, beside the usual thresholds.

The demo's network learns from half of the sample and answers Fashion-MNIST's public test pictures, which
nobody learnt from. Each trial draws a reference of the size that the demo's model has, and a window, anew
from them, without overlap and with the same shares of the classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2_contingency, ks_2samp, wasserstein_distance

from benchmarks.claim import Claim, at_most, not_measured
from benchmarks.main.demo import load_public_test_set
from benchmarks.monitoring.answered import answered, taken
from benchmarks.monitoring.trials import outcomes
from benchmarks.serving.recorded_answers import learn_from_sample
from data.make_sample import ARTICLES, CATEGORIES, SOURCE, encode
from materializers.drift_reference import DriftReference
from serving.predictor import Predictor
from steps.monitoring.drift.settings import DriftSettings
from steps.monitoring.drift.signals import drift_signals, stability_index

SIZES = (100, 300, 1000, 5000)
TRIALS, QUICK_TRIALS = 500, 20
REFERENCE = 900
"""Validation and test rows of the demo's 3,000 pictures."""
MOST = 0.05
CALIBRATED = "calibrated"
COMPARED = ("brightness", "contrast", "sharpness", "byte_count")
"""Statistics that vary in these pictures, all grey and of one size."""
INDEX, DISTANCE, LEVEL = 0.1, 0.1, 0.05
Floats = np.ndarray[tuple[int], np.dtype[np.float64]]


def measure(folder: Path, *, quick: bool) -> list[Claim]:
    """A claim for each size, ours beside the usual thresholds; quick: few trials."""
    if not SOURCE.is_dir():
        return [not_measured("false alarms", f"there is no {SOURCE}: apt-get install dataset-fashion-mnist")]
    learn_from_sample(folder / "model")
    pool = _public_test(Predictor.load(folder / "model" / "serving"))
    trials = QUICK_TRIALS if quick else TRIALS
    return [_claim(_alarms(pool, n, trials), n, trials) for n in SIZES]


def _claim(found: Counter[str], n: int, trials: int) -> Claim:
    usual = ", ".join(f"{name} {found[name] / trials:.1%}" for name in USUAL)
    return at_most(
        f"false alarms of all signals together, n = {n:,}, {trials} trials, reference of {REFERENCE:,} "
        f"(usual thresholds: {usual})",
        found[CALIBRATED] / trials,
        MOST,
        "",
    )


def _public_test(predictor: Predictor) -> DriftReference:
    images, articles = load_public_test_set()
    category = {article: name for name, some in CATEGORIES.items() for article in some}
    labels = [category[ARTICLES[article]] for article in articles]
    return answered(predictor, [encode(image) for image in images], labels)


def _alarms(pool: DriftReference, n: int, trials: int) -> Counter[str]:
    """How many trials each way took for drift."""
    return Counter(name for alarms in outcomes(partial(_trial, pool, n), trials) for name in alarms)


def same_mix(labels: NDArray[np.str_], sizes: Sequence[int], seed: int) -> list[NDArray[np.int64]]:
    """Draw rows for several sides, without overlap, each with the shares that the classes have in all.

    Args:
        labels: of n rows.
        sizes: of the sides, n together at most. A side has a row more or less of a class where its share of
            the size is no whole number.
        seed: draws.
    """
    draw = np.random.default_rng(seed)
    # Rows of a class lie evenly spread: so they do in any part of the order.
    places = np.zeros(len(labels))
    for label in np.unique(labels):
        of_class = draw.permutation(np.flatnonzero(labels == label))
        places[of_class] = (np.arange(len(of_class)) + draw.random()) / len(of_class)
    order, ends = np.argsort(places), np.cumsum(sizes)
    return [order[end - size : end] for end, size in zip(ends, sizes, strict=True)]


def _trial(pool: DriftReference, n: int, seed: int) -> list[str]:
    """The ways that take one window for drift."""
    labels = pool.rows["label"].to_numpy(str)
    was, now = (taken(pool, rows) for rows in same_mix(labels, (REFERENCE, n), seed))
    signals = drift_signals(was, now, threshold=0.6, settings=DriftSettings(), seed=seed)
    alarms = [CALIBRATED] if any(signal.outcome == "drift" for signal in signals) else []
    return alarms + [name for name, alarm in USUAL.items() if alarm(was, now)]


def _of_any_statistic(
    alarm: Callable[[Floats, Floats], bool], was: DriftReference, now: DriftReference
) -> bool:
    """Whether any statistic raises an alarm."""
    return any(alarm(*(side.rows[name].to_numpy() for side in (was, now))) for name in COMPARED)


def _index(was: Floats, now: Floats) -> bool:
    return stability_index(was, now) > INDEX


def _smirnov(was: Floats, now: Floats) -> bool:
    return float(ks_2samp(was, now).pvalue) < LEVEL


def _wasserstein(was: Floats, now: Floats) -> bool:
    """Of values in units of the reference's deviation, as Evidently has it."""
    return float(wasserstein_distance(was, now)) / float(was.std()) > DISTANCE


def _chi2(was: DriftReference, now: DriftReference) -> bool:
    counts = [np.bincount(side.scores.argmax(axis=1), minlength=len(side.classes)) for side in (was, now)]
    return float(chi2_contingency(np.stack(counts)[:, np.sum(counts, axis=0) > 0]).pvalue) < LEVEL


USUAL: Mapping[str, Callable[[DriftReference, DriftReference], bool]] = {
    "PSI above 0.1": partial(_of_any_statistic, _index),
    "KS below 0.05": partial(_of_any_statistic, _smirnov),
    "Wasserstein above 0.1": partial(_of_any_statistic, _wasserstein),
    "chi² of the classes below 0.05": _chi2,
}
"""Thresholds that are found in the field's tutorials, each by itself."""
