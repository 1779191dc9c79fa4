"""How sure an answer is, and below what it is none: chosen on validation pictures, written into the model.

Both numbers become part of ``metadata.json`` and so of the model's digest; they take effect where every
answer is made, in ``serving/predictor.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from materializers.classifier import Calibration
from materializers.report import Record
from serving.model_directory import model_digest, read_metadata, write_metadata
from steps.training.calibration.reliability import expected_calibration_error

LOWEST, HIGHEST = 0.05, 20.0
"""Temperatures: Guo et al. found 0.9 to 3.3."""
DIGITS = 4
"""Of a temperature: what later ones change is far below what validation pictures can tell."""
COVERAGES = tuple(share / 20 for share in range(20, 0, -1))
"""Shares of the pictures that get an answer, from all to few: the thresholds that are tried."""
FEW = 30
"""Validation pictures, below which a temperature is only a rough one."""


class CalibrateSettings(Record):
    """What is chosen on validation pictures once a network is trained."""

    temperature: bool = True
    """Whether the logits are divided by a temperature; false: by 1."""
    risk: float | None = Field(default=None, gt=0, lt=1)
    """The largest share of wrong answers among those given; None: every picture gets an answer."""
    confidence: float = Field(default=0.95, ge=0.5, lt=1)
    """How probable it is, at least, that the share stays below ``risk`` on pictures of the same kind."""


DEFAULT_SETTINGS = CalibrateSettings()


@dataclass(frozen=True)
class Threshold:
    """A threshold, and what it comes to on the pictures it was chosen on.

    Attributes:
        value: what a probability must reach.
        given: answers that do.
        wrong: those of them that are wrong.
        bound: the upper confidence bound of the share that is wrong.
        met: whether ``bound`` is at most the risk.
        lowest_bound: the lowest of all thresholds that were tried.
    """

    value: float
    given: int
    wrong: int
    bound: float
    met: bool
    lowest_bound: float = 1.0


def calibrate(
    logits: NDArray[np.float32], labels: NDArray[np.int64], settings: CalibrateSettings
) -> Calibration:
    """Choose temperature and threshold.

    The same pictures chose the epoch: what these numbers are worth is what test pictures say.

    Args:
        logits: ``(n, k)``, of the serving directory, on validation pictures alone.
        labels: ``(n,)``, the true class numbers.
        settings: what is chosen.

    Raises:
        ValueError: there is no picture.
    """
    from serving.predictor import probabilities

    n, k = logits.shape
    if not n:
        raise ValueError("There is no validation picture: nothing can be calibrated.")
    temperature, notes = fit_temperature(logits, labels) if settings.temperature else (1.0, [])
    before, after = probabilities(logits, 1.0), probabilities(logits, temperature)
    threshold = choose_threshold(after, labels, settings.risk, settings.confidence)
    absent = k - len(np.unique(labels))
    if absent:
        notes.append(f"{absent} of {k} classes have no validation picture: nothing here is about them.")
    if settings.risk is not None and not threshold.met:
        notes.append(_not_met(threshold, n, settings.risk, settings.confidence))
    return Calibration(
        temperature=temperature,
        threshold=threshold.value,
        n=n,
        nll_before=negative_log_likelihood(logits, labels, 1.0),
        nll_after=negative_log_likelihood(logits, labels, temperature),
        ece_before=expected_calibration_error(before, labels),
        ece_after=expected_calibration_error(after, labels),
        coverage=threshold.given / n,
        selective_risk=threshold.wrong / threshold.given,
        risk_bound=threshold.bound,
        risk=settings.risk,
        confidence=settings.confidence,
        notes=tuple(notes),
    )


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> tuple[float, list[str]]:
    """The temperature that makes the true classes most probable.

    The method is that of Guo et al. 2017, "On calibration of modern neural networks". Where every answer is
    right that would be the lowest there is, for endless certainty. Then the mean probability of an answer is
    (n + 1) / (n + 2): what n right answers allow by Laplace's rule of succession.

    Args:
        logits: ``(n, k)``, n > 0.
        labels: ``(n,)``, the true class numbers.

    Returns:
        The temperature, from ``LOWEST`` to ``HIGHEST``, and what is to be said about it.
    """
    from scipy.optimize import minimize_scalar

    n, notes = len(labels), list[str]()
    limits = math.log(LOWEST), math.log(HIGHEST)
    if n < FEW:
        notes.append(f"The temperature stands on {n} validation pictures; {FEW} at least make it a good one.")
    if bool((logits.argmax(axis=1) == labels).all()):
        notes.append(
            f"All {n} validation pictures are answered right: they do not say how sure the model may be, and "
            f"its mean probability is kept at {n + 1} of {n + 2}."
        )
        fitted = _log_temperature_of((n + 1) / (n + 2), logits, limits)
    else:
        fitted = minimize_scalar(
            lambda log: negative_log_likelihood(logits, labels, math.exp(log)),
            bounds=limits,
            method="bounded",
        ).x
    temperature = float(f"{math.exp(fitted):.{DIGITS}g}")
    if not LOWEST * 1.01 < temperature < HIGHEST / 1.01:
        temperature = min(max(temperature, LOWEST), HIGHEST)
        notes.append(f"The temperature {temperature:g} is the limit: no other one was tried beyond.")
    return temperature, notes


def negative_log_likelihood(
    logits: NDArray[np.float32], labels: NDArray[np.int64], temperature: float
) -> float:
    """The mean of −log of the true class's probability, in nats; logits ``(n, k)``, labels ``(n,)``."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    true = scaled[np.arange(len(labels)), labels]
    return float((np.log(np.exp(scaled).sum(axis=1)) - true).mean())


def choose_threshold(
    scores: NDArray[np.float64], labels: NDArray[np.int64], risk: float | None, confidence: float
) -> Threshold:
    """The lowest threshold at which the share of wrong answers among those given is surely at most ``risk``.

    ``COVERAGES`` are tried, and each has a Clopper-Pearson bound at 1 − (1 − confidence) / 20 (Bonferroni),
    so that whichever is chosen holds with ``confidence``, as the selection with guaranteed risk of Geifman
    and El-Yaniv 2017 ("Selective classification for deep neural networks") does.

    Args:
        scores: probabilities ``(n, k)``, n > 0.
        labels: ``(n,)``, the true class numbers.
        risk: the limit; None: every picture gets an answer.
        confidence: of the bound.

    Returns:
        Where no threshold reaches the risk, the highest that was tried, which is ``met`` False: a model
        that nothing is known of better answers little.
    """
    sure = scores.max(axis=1)
    wrong = scores.argmax(axis=1) != labels
    if risk is None:
        return _tried(0.0, sure, wrong, 1.0, confidence)
    falling = np.sort(sure)[::-1]
    each = 1 - (1 - confidence) / len(COVERAGES)
    thresholds = [0.0, *(float(falling[math.ceil(share * len(sure)) - 1]) for share in COVERAGES[1:])]
    tried = [_tried(value, sure, wrong, risk, each) for value in thresholds]
    chosen = next((each for each in tried if each.met), tried[-1])
    return replace(chosen, lowest_bound=min(each.bound for each in tried))


def write_calibration(serving: Path, calibration: Calibration) -> str:
    """Write temperature and threshold into a serving directory that has neither yet.

    Returns:
        The directory's digest.

    Raises:
        ModelDirectoryError: it is none.
    """
    found = {
        "temperature": calibration.temperature,
        "abstention_threshold": calibration.threshold,
    }
    write_metadata(serving, read_metadata(serving).model_copy(update=found))
    return model_digest(serving)


def upper_bound(wrong: int, given: int, confidence: float) -> float:
    """The upper bound of a share of which ``wrong`` of ``given`` were seen (Clopper and Pearson 1934)."""
    from scipy.special import betaincinv

    return 1.0 if wrong == given else float(betaincinv(wrong + 1, given - wrong, confidence))


def _tried(
    value: float, sure: NDArray[np.float64], wrong: NDArray[np.bool_], risk: float, confidence: float
) -> Threshold:
    given = sure >= value
    number, mistakes = int(given.sum()), int(wrong[given].sum())
    bound = upper_bound(mistakes, number, confidence)
    return Threshold(value, number, mistakes, bound, bound <= risk)


def _log_temperature_of(mean: float, logits: NDArray[np.float32], limits: tuple[float, float]) -> float:
    """The logarithm of the temperature at which the mean probability of an answer is ``mean``.

    It falls as the temperature rises; where it reaches ``mean`` nowhere, the nearer limit.
    """
    from scipy.optimize import brentq

    from serving.predictor import probabilities

    def above(log: float) -> float:
        return float(probabilities(logits, math.exp(log)).max(axis=1).mean()) - mean

    if above(limits[0]) <= 0:
        return limits[0]
    return limits[1] if above(limits[1]) >= 0 else float(brentq(above, *limits))


def _not_met(threshold: Threshold, n: int, risk: float, confidence: float) -> str:
    error = (1 - confidence) / len(COVERAGES)
    needed = math.ceil(math.log(error) / math.log(1 - risk))
    return (
        f"calibrate.risk {risk:g} is not reached on {n:,} validation pictures: the lowest share of wrong "
        f"answers that they show, with a confidence of {confidence:g}, is {threshold.lowest_bound:.3f}. The "
        f"model answers only what is as sure ({threshold.value:.4f}) as the surest "
        f"{threshold.given / n:.0%}, {threshold.given:,} pictures with {threshold.wrong:,} wrong, and "
        f"abstains from the rest. To show {risk:g} takes {needed:,} answers without a mistake: deliver more "
        "pictures, or raise the limit: --set calibrate.risk=VALUE"
    )
