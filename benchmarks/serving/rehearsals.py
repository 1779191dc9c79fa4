"""A thousand rollouts of each kind of candidate, on recorded answers: how each is decided, and when.

A rehearsal is four days of 10,000 requests, each sent to the candidate with a chance of a tenth. Both arms
draw their answers, with replacement, from what one model answered to test pictures; labels come with a
delay of an hour on average. A candidate that is worse differs in just one thing. Each is judged by the
product's own replay, with the shipped settings; but for the deadline, which is at the last request.

Beside stands what peers do: the rates and means that were measured when 500 requests of the candidate had
come, compared with the same tolerated differences.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.claim import Claim, at_least, at_most
from benchmarks.serving.recorded_answers import Recorded, record
from materializers.observation import Answer, Because
from steps.deployment.observing.moments import MICRO, NEVER
from steps.deployment.observing.outcomes import NO_LABEL, Outcomes
from steps.deployment.observing.planning import make_plan
from steps.deployment.observing.replay import Stage, replay
from steps.deployment.observing.settings import ObserveSettings

REHEARSALS, QUICK = 1000, 100
REQUESTS, SHARE, A_DAY = 40_000, 0.10, 10_000
SECONDS = REQUESTS / A_DAY * 86_400
LABEL_DELAY_S = 3600.0
POINTS, SLOWER, ERRORS = 0.05, 3.0, 0.02
SETTINGS = ObserveSettings(maximum_s=SECONDS, settling_s=0, expected_requests_per_day=A_DAY)
BEGIN = datetime(1970, 1, 1, tzinfo=UTC)
AFTER = BEGIN + timedelta(seconds=2 * SECONDS)
"""When all is over."""
BARE_REQUESTS = 500
STATUS_FAILED, STATUS_FINE = 503, 200
ROLLED_BACK, FALSE_ALARMS = 0.95, 0.05


@dataclass(frozen=True)
class Kind:
    """A candidate, and in what it is worse.

    Args:
        name: what a claim calls it.
        points: of accuracy that it lost.
        slower: how many times as long it takes.
        errors: the share of its requests that fail.
    """

    name: str
    points: float = 0.0
    slower: float = 1.0
    errors: float = 0.0


EQUAL = Kind("equal")
WORSE = (
    Kind(f"{100 * POINTS:g} points less accurate, with labels", points=POINTS),
    Kind(f"of {SLOWER:g} × the latency", slower=SLOWER),
    Kind(f"with {100 * ERRORS:g} % errors", errors=ERRORS),
)


class Rehearsed(NamedTuple):
    """One rehearsal.

    Args:
        answer: of the sequential test.
        because: why.
        requests: of both arms until then.
        bare: what comparing the measured figures answers.
    """

    answer: Answer
    because: Because
    requests: int
    bare: Answer


def measure(folder: Path, *, quick: bool, rehearsals: int | None = None) -> list[Claim]:
    """How often each kind of candidate is rolled back; quick: fewer rehearsals, in this process alone."""
    recorded = record(folder / "recorded")
    count = rehearsals or (QUICK if quick else REHEARSALS)
    processes = 1 if quick else min(len(WORSE) + 1, os.cpu_count() or 1)
    found = [_all_of(recorded, kind, count, processes) for kind in (EQUAL, *WORSE)]
    return [
        claim_about(recorded, EQUAL, found[0]),
        *(claim_about(recorded, kind, each) for kind, each in zip(WORSE, found[1:], strict=True)),
    ]


def claim_about(recorded: Recorded, kind: Kind, found: Sequence[Rehearsed]) -> Claim:
    """The share that was not promoted, beside its bar; requests and days are in the name."""
    kept_out = float(np.mean([each.answer != "promote" for each in found]))
    bare = float(np.mean([each.bare != "promote" for each in found]))
    harm = float(np.mean([each.because == "harm" for each in found]))
    needed = np.quantile([each.requests for each in found], (0.5, 0.95))
    name = (
        f"candidates {kind.name}, rolled back within {REQUESTS:,} requests at a share of {100 * SHARE:g} %, "
        f"{len(found):,} rehearsals on {recorded.name} (accuracy {recorded.accuracy:.3f}); harm was shown in "
        f"{harm:.1%}; requests needed {needed[0]:,.0f}, 95 % {needed[1]:,.0f}, which at {A_DAY:,} a day are "
        f"{needed[0] / A_DAY:.2f} and {needed[1] / A_DAY:.2f} days; beside bare thresholds after "
        f"{BARE_REQUESTS} requests of the candidate"
    )
    if kind is EQUAL:
        return at_most(name, kept_out, FALSE_ALARMS, "", peer=bare)
    return at_least(name, kept_out, ROLLED_BACK, "", peer=bare)


def rehearse(recorded: Recorded, kind: Kind, seed: int, *, settings: ObserveSettings = SETTINGS) -> Rehearsed:
    """One rehearsal; the same seed gives the same."""
    generator = np.random.default_rng(seed)
    times = np.sort(generator.integers(0, round(SECONDS * MICRO), REQUESTS))
    ours = generator.random(REQUESTS) < SHARE
    candidate = answered(recorded, kind, times[ours], generator)
    champion = answered(recorded, EQUAL, times[~ours], generator)
    stage = Stage(
        champion=champion,
        candidate=candidate,
        settings=settings,
        plan=make_plan(settings, mode="canary", share=SHARE),
        mode="canary",
        begin=0,
        bounded=False,
    )
    found = replay(stage, AFTER)
    until = stage.deadline if found.at is None else found.at
    requests = int(np.searchsorted(times, until, side="right"))
    return Rehearsed(found.answer, found.because, requests, bare_answer(champion, candidate, settings))


def answered(
    recorded: Recorded, kind: Kind, times: NDArray[np.int64], generator: np.random.Generator
) -> Outcomes:
    """What a version of this kind made of requests at these times."""
    n = len(times)
    drawn = generator.integers(0, len(recorded.label), n)
    label, true = recorded.label[drawn], recorded.true[drawn]
    right = label == true
    # Of those that are right so many are not any more that the points are lost of all.
    lost = right & (generator.random(n) < kind.points / recorded.accuracy)
    other = (label + generator.integers(1, len(recorded.classes), n)) % len(recorded.classes)
    label = np.where(lost, other, label)
    failed = generator.random(n) < kind.errors
    delay = generator.exponential(LABEL_DELAY_S * MICRO, n).astype(np.int64)
    return Outcomes(
        request_id=np.empty(n, dtype=object),
        at=times,
        status=np.where(failed, STATUS_FAILED, STATUS_FINE),
        latency_ms=recorded.latency_ms[generator.permutation(drawn)] * kind.slower,
        answered=~failed,
        label=np.where(failed, NO_LABEL, label),
        classes=recorded.classes,
        probability=np.where(failed, np.nan, recorded.probability[drawn]),
        abstained=recorded.abstained[drawn] & ~failed,
        correct=right & ~lost & ~failed,
        labelled_at=np.where(failed, NEVER, times + delay),
        value=np.full(n, np.nan),
        valued_at=np.full(n, NEVER),
    )


def bare_answer(champion: Outcomes, candidate: Outcomes, settings: ObserveSettings) -> Answer:
    """What comparing the figures that were measured answers, however few requests they are of."""
    margins = settings.margins
    until = candidate.at[min(BARE_REQUESTS, len(candidate)) - 1]
    figures = []
    for outcomes in (champion, candidate):
        came = outcomes.at <= until
        labelled = came & (outcomes.labelled_at <= until)
        figures.append(
            (
                float((outcomes.status[came] >= STATUS_FAILED).mean()),
                float(np.median(outcomes.latency_ms[came & outcomes.answered])),
                float(outcomes.correct[labelled].mean()) if labelled.any() else 0.0,
            )
        )
    (errors, latency, accuracy), (our_errors, our_latency, our_accuracy) = figures
    worse = (
        our_errors - errors > margins.errors
        or our_latency > latency * (1 + margins.latency)
        or accuracy - our_accuracy > margins.accuracy
    )
    return "roll back" if worse else "promote"


def _all_of(recorded: Recorded, kind: Kind, count: int, processes: int) -> list[Rehearsed]:
    one: Callable[[int], Rehearsed] = partial(rehearse, recorded, kind)
    if processes == 1:
        return [one(seed) for seed in range(count)]
    # Spawned: the process that trained has threads, which a fork does not take along.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return list(pool.map(one, range(count), chunksize=max(1, count // (4 * processes))))
