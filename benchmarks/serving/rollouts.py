"""What users notice of a rollout: requests while it changes, keys that stay, the price of a shadow."""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import psutil

from benchmarks.claim import Claim, at_least, at_most, guarded
from benchmarks.serving.shop import PRODUCTION, Shop, approve_candidate, shop
from benchmarks.serving.users import Users

RATE_PER_S = 20.0
AFTER_S = 2.0
"""Of load behind each change."""
KEYS, REQUESTS_PER_KEY, QUICK_KEYS = 1000, 10, 300
SHARE, CERTAINTY = 0.20, 0.99
SHADOWED_PER_S, SHADOWED_S, QUICK_SHADOWED_S = 5.0, 40.0, 8.0
DEARER, DEARER_MS = 0.10, 1.0
"""What a shadow may add to the median: a tenth of it, or a millisecond where that is more."""
HALF = ("deployment.production={mode: canary, stages: [0.5]}",)
AB = (f"deployment.production={{mode: ab, ab_share: {SHARE}}}",)
SHADOW = ("deployment.production={mode: shadow}",)


def measure(folder: Path, *, quick: bool) -> list[Claim]:
    """The claims about changes under load, keys and shadows; quick: fewer keys, seconds of a shadow."""
    with shop(folder) as made:
        return [
            *guarded("changes under load", partial(_changes, made)),
            *guarded("keys", partial(_keys, made, QUICK_KEYS if quick else KEYS)),
            *guarded("shadow", partial(_shadow, made, QUICK_SHADOWED_S if quick else SHADOWED_S)),
        ]


def _changes(made: Shop) -> list[Claim]:
    """Each change under load, in an order in which each is possible."""
    claims = [_under_load(made, "swapped by another in staging", partial(approve_candidate, made), "staging")]
    made.roll_out(*HALF)
    claims.append(_under_load(made, "its candidate killed", partial(_killed, made)))
    made.roll_back()
    claims += [
        _under_load(made, "a candidate rolled out beside it", partial(made.roll_out, *HALF)),
        _under_load(made, "the candidate promoted", partial(made.home.promote, PRODUCTION)),
        _under_load(made, "rolled back", made.roll_back),
        _under_load(made, "its process behind the ingress restarted", partial(_restarted, made)),
    ]
    return claims


def _under_load(made: Shop, what: str, change: Callable[[], object], environment: str = PRODUCTION) -> Claim:
    users = Users(made.url(environment), made.pictures, RATE_PER_S)
    with users.asking():
        time.sleep(AFTER_S)
        change()
        time.sleep(AFTER_S)
    name = f"a served model {what}: failed of {len(users.answers)} requests, {RATE_PER_S:g} a second"
    return at_most(name, users.failed, 0, "requests")


def _killed(made: Shop) -> None:
    killed = made.processes_of(2)
    if not killed:
        raise RuntimeError("version 2 has no process")
    for process in killed:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _restarted(made: Shop) -> None:
    """End the worker as an operator does; its master starts another."""
    processes = made.processes_of(1)
    masters = {each.pid for each in processes}
    workers = [each for each in processes if each.ppid() in masters]
    if not workers:
        raise RuntimeError("version 1 has no worker")
    for worker in workers:
        worker.terminate()
    psutil.wait_procs(workers, timeout=40)


def _keys(made: Shop, count: int) -> list[Claim]:
    """Each key's requests are answered by one version; how many keys are whose is as was configured."""
    from scipy.stats import binom

    made.roll_out(*AB)
    try:
        keys = [f"customer-{number}" for number in range(count)]
        users = Users(made.url(PRODUCTION), made.pictures, 0, keys=keys, most=count * REQUESTS_PER_KEY)
        users.ask_all()
    finally:
        made.roll_back()
    answered: dict[str, set[str]] = {}
    for answer in users.answers:
        answered.setdefault(answer.key, set()).add(answer.version)
    ours = sum(versions == {"2"} for versions in answered.values())
    low, high = binom.interval(CERTAINTY, count, SHARE)
    what = f"{count:,} keys × {REQUESTS_PER_KEY} requests, A/B at {SHARE:.0%}"
    return [
        at_most(f"{what}: keys that moved", sum(len(each) > 1 for each in answered.values()), 0, "keys"),
        at_most(f"{what}: requests that failed", users.failed, 0, "requests"),
        at_least(f"{what}: keys of the candidate, {CERTAINTY:.0%} interval from", ours, float(low), "keys"),
        at_most(f"{what}: keys of the candidate, {CERTAINTY:.0%} interval to", ours, float(high), "keys"),
    ]


def _shadow(made: Shop, seconds: float) -> list[Claim]:
    """The median latency without, with, and again without a shadow; and who answered."""
    before = _asked(made, seconds)
    made.roll_out(*SHADOW)
    try:
        time.sleep(AFTER_S)
        beside = _asked(made, 2 * seconds)
    finally:
        made.roll_back()
    after = _asked(made, seconds)
    alone_ms, shadowed_ms = (
        median(answer.latency_ms for users in some for answer in users.answers)
        for some in ((before, after), (beside,))
    )
    what = f"{len(beside.answers)} requests, {SHADOWED_PER_S:g} a second, small_cnn, beside a shadow"
    return [
        at_most(
            f"{what}: median more than the {alone_ms:.2f} ms without one",
            shadowed_ms - alone_ms,
            max(DEARER * alone_ms, DEARER_MS),
            "ms",
        ),
        at_most(f"{what}: answers of the shadow that were returned", beside.versions()["2"], 0, "answers"),
        at_most(f"{what}: requests that failed", beside.failed, 0, "requests"),
    ]


def _asked(made: Shop, seconds: float) -> Users:
    users = Users(made.url(PRODUCTION), made.pictures, SHADOWED_PER_S, most=int(SHADOWED_PER_S * seconds))
    users.ask_all()
    if all(answer.status != http.client.OK for answer in users.answers):
        raise RuntimeError("no request was answered")
    return users
