"""What is fixed before a stage begins: how many requests it may take, and at which of them one looks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from materializers.observation import Need, Plan, SignalName
from steps.deployment.observing.spending import fractions, levels

if TYPE_CHECKING:
    from materializers.release import Mode
    from steps.deployment.observing.settings import ObserveSettings

Figure: TypeAlias = tuple[SignalName, str]
"""A signal, and what of it is compared."""
ERRORS: Figure = ("errors", "share")
REJECTIONS: Figure = ("rejections", "share")
MEDIAN: Figure = ("latency", "median")
TAIL: Figure = ("latency", "95th percentile")
ABSTENTION: Figure = ("abstention", "share")
PROBABILITY: Figure = ("scores", "top probability")
CLASS_SHARES: Figure = ("scores", "class shares")
ACCURACY: Figure = ("accuracy", "share")
VALUE: Figure = ("value", "mean")
OF_REQUESTS: tuple[Figure, ...] = (
    ERRORS,
    REJECTIONS,
    MEDIAN,
    TAIL,
    ABSTENTION,
    PROBABILITY,
    CLASS_SHARES,
)
"""Every request says something of these; of what follows only those that feedback came to."""
PAIRED_SHARE = 0.5
"""Of a shadow: each request is answered by both."""


def figures_of(mode: Mode) -> tuple[Figure, ...]:
    """What is compared in a release of this mode, each a signal and its figure."""
    return (*OF_REQUESTS, ACCURACY, *([VALUE] if mode == "ab" else []))


def make_plan(settings: ObserveSettings, *, mode: Mode, share: float, stages: int = 1) -> Plan:
    """Say how many requests a stage takes at most, and at which of them one looks.

    Args:
        settings: margins, error rate, power.
        mode: of the release.
        share: of the traffic that the candidate answers; 0 of a shadow, which gets a copy of each request.
        stages: that the release goes through; a good candidate must not be rolled back in any of them.

    Raises:
        ValueError: the share is not between 0 and 1.
    """
    if not 0 <= share < 1 or (not share and mode != "shadow"):
        raise ValueError(
            f"The candidate answers {share:g} of the traffic: beside it the champion has to, too."
        )
    against, of_all = (share, share) if share else (PAIRED_SHARE, 1.0)
    needs = requests_needed(settings, share=against)
    planned = settings.planned_requests or max(need.requests for need in needs)
    counts = np.unique(np.ceil(fractions(settings.looks, settings.first_look) * planned - 1e-9).astype(int))
    return Plan(
        alpha=settings.alpha,
        power=settings.power,
        planned_requests=planned,
        minimum_requests=min(settings.minimum_requests, planned),
        share=share,
        days=planned / of_all / settings.expected_requests_per_day,
        expected_requests_per_day=settings.expected_requests_per_day,
        looks=tuple(int(count) for count in counts),
        needs=needs,
        figures=len(figures_of(mode)),
        stages=stages,
        undecided=settings.undecided,
    )


def requests_needed(settings: ObserveSettings, *, share: float) -> tuple[Need, ...]:
    """How many requests of the candidate show, with the power that is set, that one as good is as good.

    Of latency and business figure it follows from how they scatter, which nobody knows beforehand.

    Args:
        settings: margins, error rate, power, and what is taken for granted.
        share: of the requests of both that are the candidate's.
    """
    from statsmodels.stats.power import NormalIndPower

    level = float(levels(fractions(settings.looks, settings.first_look), settings.alpha)[-1])
    margins, assumed = settings.margins, settings.assumed
    power, needs = NormalIndPower(), []
    for (signal, figure), margin, rate in (
        (ERRORS, margins.errors, assumed.errors),
        (REJECTIONS, margins.rejections, assumed.rejections),
        (ABSTENTION, margins.abstention, assumed.abstention),
        (ACCURACY, margins.accuracy, 1 - assumed.accuracy),
    ):
        # Without an event the upper bound of a share alone needs so many ("rule of three", at this level).
        n = math.log(level) / math.log1p(-margin)
        if rate:
            # Of the standard deviations of one answer, as a test of two means has it.
            effect = margin / math.sqrt(rate * (1 - rate))
            ratio = (1 - share) / share
            n = max(n, float(power.solve_power(effect, None, level, settings.power, ratio, "larger")))
        needs.append(Need(signal=signal, figure=figure, requests=math.ceil(n)))
    return tuple(needs)
