"""One rollout of each kind of candidate over real HTTP: requests, captures, feedback, and looks.

The candidate has the champion's weights. One that is worse is made so in its process (:mod:`.planted`), or by
what users say was right; margins and error rates are the product's. What is captured is stored within
seconds here, so that a look need not leave out the last two minutes.
"""

from __future__ import annotations

import random
import time
from functools import partial
from pathlib import Path

from benchmarks.claim import Claim, at_most, guarded
from benchmarks.serving.planted import PLANTED, plant
from benchmarks.serving.rehearsals import EQUAL, REQUESTS, SHARE, WORSE, Kind
from benchmarks.serving.shop import PRODUCTION, Shop, approve_candidate, shop
from benchmarks.serving.users import Truth, Users

RATE_PER_S = 110.0
"""What is as good is promoted after 300 s at the earliest, and has nearly all its requests by then."""
QUICK_RATE_PER_S, QUICK_SHARE = 40.0, 0.5
LOOK_S = 10.0
SETTLING_S = 15
ACCURACY = 0.92
"""Of the champion, as users say."""
CANDIDATE = "2"
ACCURATE, SLOW, FAILING = WORSE
QUICK_KINDS = (SLOW, FAILING)
"""Those that are decided after some hundred requests."""


def measure(folder: Path, *, quick: bool) -> list[Claim]:
    """The claims about each kind; quick: two of them, at a larger share."""
    kinds = QUICK_KINDS if quick else (SLOW, FAILING, ACCURATE, EQUAL)
    with shop(folder) as made:
        approve_candidate(made)
        claims: list[Claim] = []
        for kind in kinds:
            rehearsed = partial(rehearse, made, kind, quick=quick)
            claims += guarded(f"a candidate {kind.name} over HTTP", rehearsed)
        return claims


def rehearse(made: Shop, kind: Kind, *, quick: bool) -> list[Claim]:
    """One rollout until it is decided, or until there were as many requests as there may be."""
    share, rate = (QUICK_SHARE, QUICK_RATE_PER_S) if quick else (SHARE, RATE_PER_S)
    settings = (
        f"deployment.production={{mode: canary, stages: [{share}]}}",
        f"deployment.observe.settling_s={SETTLING_S}",
    )
    plant(made.faults, int(CANDIDATE), slower=kind.slower, errors=kind.errors)
    made.roll_out(*settings)
    users = Users(made.url(PRODUCTION), made.pictures, rate, truth=_truth(kind) if _labelled(kind) else None)
    begun, status, reasons = time.monotonic(), "rolling_out", ""
    with users.asking():
        while status == "rolling_out" and len(users.answers) < REQUESTS:
            time.sleep(LOOK_S)
            asked = len(users.answers)
            looked = made.run(
                "--observe", "--environment", PRODUCTION, settings=settings, expected=(0, 3)
            ).results[-1]
            status, reasons = looked["release"]["status"], " ".join(looked["reasons"])
    took_s = time.monotonic() - begun
    if status != "rolled_back":
        made.roll_back()
    right = "live" if kind is EQUAL else "rolled_back"
    planted = sum(answer.status == PLANTED for answer in users.answers)
    what = (
        f"a candidate {kind.name} over HTTP, {rate:g} requests a second at a share of {100 * share:g} %"
        f"{', labelled' if _labelled(kind) else ''}: {status.replace('_', ' ')} after {asked:,} requests and "
        f"{took_s:.0f} s ({reasons[:300]})"
    )
    return [
        at_most(f"{what}; decided wrongly", int(status != right), 0, "rollouts"),
        at_most(
            f"a candidate {kind.name} over HTTP: requests that failed of {len(users.answers):,}, but for "
            f"{planted} that were planted",
            users.failed - planted,
            0,
            "requests",
        ),
    ]


def _labelled(kind: Kind) -> bool:
    return kind in (EQUAL, ACCURATE)


def _truth(kind: Kind) -> Truth:
    """Users who find so many answers of each version right."""
    chance = random.Random(0)  # noqa: S311 - no secret
    classes = ("bags", "dresses", "footwear", "tops", "trousers")

    def right(version: str, label: str) -> str:
        lost = kind.points if version == CANDIDATE else 0.0
        if chance.random() < ACCURACY - lost:
            return label
        return chance.choice([other for other in classes if other != label])

    return right
