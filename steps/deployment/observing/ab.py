"""The success metrics of an A/B test: differences, intervals and p-values that hold however often one looks.

They are computed at the looks that were fixed beforehand, each with its part of the error rate, which is
divided between the metrics too. What is promoted or rolled back is decided by the sequential test beside it
(``replay``): these say who is better, that one says who is not worse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from materializers.ab_report import AbReport, Measurement, SuccessMetric, SuccessName
from steps.deployment.observing.figures import LEAST_VALUES, Arm
from steps.deployment.observing.moments import time_of
from steps.deployment.observing.observation import stage_of
from steps.deployment.observing.replay import Due, Stage, looks_due, replay, seen_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import pandas as pd

    from materializers.observation import Clock
    from materializers.release import Release
    from steps.deployment.observing.settings import ObserveSettings

Floats = NDArray[np.float64]


class Success(NamedTuple):
    """How a success metric is known in code: its clock, its unit and its direction."""

    name: SuccessName
    clock: Clock
    unit: Literal["share", "ms", ""]
    more_is_better: bool


class Compared(NamedTuple):
    """Both means, the difference with its interval, and the p-value of there being none."""

    candidate: float
    champion: float
    low: float
    high: float
    p: float


def report_ab(
    release: Release,
    champion: pd.DataFrame,
    candidate: pd.DataFrame,
    feedback: pd.DataFrame,
    settings: ObserveSettings,
    *,
    now: datetime,
    unreadable: Sequence[str] = (),
) -> AbReport:
    """Compare the arms of an A/B test in accuracy, latency and business figure.

    Arguments as those of ``observe_rollout``; the looks end where that decides.

    Raises:
        ValueError: the release is not an A/B test that is rolling out.
    """
    if release.mode != "ab":
        raise ValueError(f"A {release.mode} release is no A/B test.")
    stage = stage_of(release, champion, candidate, feedback, settings, unreadable=unreadable)
    replayed = replay(stage, now)
    until = seen_until(stage, now) if replayed.at is None else replayed.at
    of_champion, of_candidate = stage.arms
    return AbReport(
        model_name=release.model_name,
        environment=release.environment,
        candidate=release.candidate.version if release.candidate else None,
        champion=release.champion.version if release.champion else None,
        share=release.share,
        begin=time_of(stage.begin),
        seen_until=time_of(until),
        requests_candidate=stage.count(of_candidate, "requests", until),
        requests_champion=stage.count(of_champion, "requests", until),
        answer=replayed.answer,
        because=replayed.because,
        alpha=settings.alpha,
        power=settings.power,
        metrics=success_metrics(stage, until),
    )


def success_metrics(stage: Stage, until: int) -> tuple[SuccessMetric, ...]:
    """Each success metric at every look at it until a moment, in microseconds since 1970.

    Business figures are among them once there is one.
    """
    gain = stage.settings.value_is == "gain"
    known = [Success("accuracy", "labels", "share", True), Success("latency", "requests", "ms", False)]
    known.append(Success("business figure", "values", "", gain))
    due = [each for each in looks_due(stage, min(until, stage.deadline)) if each.at <= until]
    return tuple(
        _metric(stage, each, [look for look in due if look.clock == each.clock], len(known), until)
        for each in known
    )


def _metric(stage: Stage, success: Success, due: list[Due], parts: int, until: int) -> SuccessMetric:
    looks = []
    for look in due:
        level = look.levels.level / parts
        champion, candidate = (
            _values(arm, success, size)
            for arm, size in zip(
                stage.arms, (stage.count(stage.arms[0], look.clock, look.at), look.n_candidate), strict=True
            )
        )
        if min(len(champion), len(candidate)) < LEAST_VALUES:
            continue
        found = (
            _shares(candidate, champion, level)
            if success.unit == "share"
            else _means(candidate, champion, level)
        )
        looks.append(
            Measurement(
                at=time_of(look.at),
                n_candidate=len(candidate),
                n_champion=len(champion),
                candidate=found.candidate,
                champion=found.champion,
                difference=found.candidate - found.champion,
                low=found.low,
                high=found.high,
                p=found.p,
                level=level,
            )
        )
    about = {
        "name": success.name,
        "unit": success.unit,
        "more_is_better": success.more_is_better,
        "looks": tuple(looks),
    }
    now = [_values(arm, success, stage.count(arm, success.clock, until)) for arm in reversed(stage.arms)]
    if min(len(each) for each in now) < LEAST_VALUES:
        lacking = (
            f"{len(now[0])} of the candidate and {len(now[1])} of the champion came; it takes {LEAST_VALUES}"
        )
        return SuccessMetric(**about, tolerated=None, needed=None, power=None, lacking=lacking)
    tolerated = _tolerated(stage, success, now[1])
    needed, power = _sample_size(stage, now[0], now[1], tolerated, parts)
    return SuccessMetric(**about, tolerated=tolerated, needed=needed, power=power)


def _values(arm: Arm, success: Success, size: int) -> Floats:
    """The first values of one arm, by the clock of the metric."""
    if success.clock == "values":
        return arm.valued[1][:size]
    if success.clock == "labels":
        return 1.0 - np.diff(arm.labelled[1][: size + 1])
    return arm.latency[: int(arm.answered[size])]


def _tolerated(stage: Stage, success: Success, champion: Floats) -> float:
    """The difference that the sequential test tolerates, in the unit of the metric."""
    margins = stage.settings.margins
    if success.unit == "share":
        return margins.accuracy
    mean = abs(float(champion.mean()))
    if success.unit == "ms":
        return max(margins.latency * mean, margins.latency_ms)
    return margins.value * mean


def _shares(candidate: Floats, champion: Floats, level: float) -> Compared:
    """Two shares by Newcombe's interval and the score test."""
    from statsmodels.stats.proportion import confint_proportions_2indep, test_proportions_2indep

    counts = (int(candidate.sum()), len(candidate), int(champion.sum()), len(champion))
    low, high = confint_proportions_2indep(*counts, compare="diff", method="newcomb", alpha=level)
    same = counts[0] * counts[3] == counts[2] * counts[1]  # of two shares of 0 or 1 there is no variance
    p = 1.0 if same else float(test_proportions_2indep(*counts, method="score", correction=False).pvalue)
    return Compared(counts[0] / counts[1], counts[2] / counts[3], float(low), float(high), p)


def _means(candidate: Floats, champion: Floats, level: float) -> Compared:
    """Two means by Welch's test and interval."""
    from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

    both = CompareMeans(DescrStatsW(candidate), DescrStatsW(champion))
    means = (float(candidate.mean()), float(champion.mean()))
    if not candidate.var() and not champion.var():
        return Compared(*means, means[0] - means[1], means[0] - means[1], float(means[0] == means[1]))
    low, high = both.tconfint_diff(alpha=level, usevar="unequal")
    return Compared(*means, float(low), float(high), float(both.ttest_ind(usevar="unequal")[1]))


def _sample_size(
    stage: Stage, candidate: Floats, champion: Floats, tolerated: float, parts: int
) -> tuple[int | None, float | None]:
    """How many of the candidate show the tolerated difference, and how likely it is with what there is."""
    from statsmodels.stats.power import NormalIndPower

    deviation, share = float(champion.std()), stage.plan.share
    if not deviation or not tolerated:
        return None, None
    if tolerated > deviation:  # as many as it takes to compare at all suffice, and the solver finds no number
        return LEAST_VALUES, 1.0
    normal, level = NormalIndPower(), stage.settings.alpha / parts
    effect, ratio = tolerated / deviation, (1 - share) / share
    needed = normal.solve_power(effect, None, level, stage.settings.power, ratio)
    power = normal.power(effect, len(candidate), level, len(champion) / len(candidate))
    # Of a difference that is many times the deviation the number is below what the solver looks for.
    return int(np.ceil(needed)) if np.isfinite(needed) else None, float(power) if np.isfinite(power) else None
