"""Which answers are enough to say that a version serves, beside another one or in its place."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from materializers.errors import ServiceBusy
from materializers.release import Arm, Mode, Release
from serving.router import place_of
from stacks.seldon_deployer.asking import Asking
from stacks.seldon_deployer.cluster import Cluster
from stacks.seldon_deployer.state import Kept, Pending, State
from stacks.seldon_deployer.store import Held
from stacks.served import Entry, as_live, as_rolling_out
from tests.remote.seldon_stub import SERVICE_TOKEN
from tests.stacks.answers import Answer, Asked, answering
from tests.stacks.local_deployer.conftest import DIGEST, make_verdict, release_of
from tests.stacks.seldon_deployer.conftest import NAME, KeptObjects

OVERLOADED = "overloaded"
"""In the place of a version: it answers a picture 429."""
SHARES: dict[Mode, float] = {"canary": 0.1, "ab": 0.2, "shadow": 0.0}


def arm(version: int) -> Arm:
    return Arm(version=version, model_digest=DIGEST, model_uri="s3://b/m", verdict=make_verdict(DIGEST))


def keep(release: Release) -> Kept:
    return Kept(**dict(Entry.pin(release, release.candidate or arm(0))), specification=None)


class Place:
    """A URL at which version 1 is live and version 2 may roll out, and whoever answers there."""

    def __init__(self, url: str, known: KeptObjects) -> None:
        self.url = f"{url}/seldon/a/b"
        self.live = as_live(release_of(arm(1)), self.url)
        self.asking = Asking(Cluster(known.config), SERVICE_TOKEN)

    def rolling(self, mode: Mode, share: float | None = None) -> Release:
        given = SHARES[mode] if share is None else share
        release = release_of(arm(2), champion=arm(1)).model_copy(update={"mode": mode, "share": given})
        return as_rolling_out(release, self.url, None)

    def held(self, rolling: Release | None = None, coming: Release | None = None) -> Held:
        state = State(live=keep(self.live), rolling=keep(rolling) if rolling else None)
        if coming:
            state = state.begun(Pending(token="t", beat=datetime.now(UTC), coming=keep(coming), past=1))
        return Held(NAME, None, state)


Answering = Callable[[Callable[[Asked], str]], Place]


@pytest.fixture
def place(kept_objects: KeptObjects) -> Iterator[Answering]:
    """Makes a URL where each request is answered by the version that a function names."""
    running: list[Any] = []

    def make(version: Callable[[Asked], str]) -> Place:
        def predictions(asked: Asked) -> Answer:
            if asked.authorization != f"Bearer {SERVICE_TOKEN}":
                return Answer(401, {})
            answers = version(asked)
            if answers == OVERLOADED:
                return Answer(429, {"status": {"reason": "overloaded"}})
            return Answer(200, {"jsonData": {"model_version": answers, "predictions": [{"label": "a"}]}})

        def health(asked: Asked) -> Answer:
            return Answer(200, {"jsonData": {"model_version": version(asked), "model_digest": DIGEST}})

        base = "/seldon/a/b"
        routes = {
            f"{base}/api/v1.0/predictions": predictions,
            f"{base}/health/status": health,
            f"{base}/api/v1.0/status/v1-00000000": health,
            f"{base}/api/v1.0/status/v2-00000000": health,
        }
        context = answering(routes)
        running.append(context)
        return Place(context.__enter__().url, kept_objects)

    yield make
    for context in running:
        context.__exit__(None, None, None)


def in_turn(*versions: str) -> Callable[[Asked], str]:
    """These versions answer, again and again."""
    turn = itertools.cycle(versions)
    return lambda _: next(turn)


def test_alone_a_version_answers_at_once(place: Answering) -> None:
    """One answer of another one says that it does not serve."""
    there = place(in_turn("1"))
    assert there.asking.is_ready(there.held(), there.live)
    assert there.asking.predicts(there.held(), there.live)
    other = place(in_turn("2"))
    assert not other.asking.is_ready(other.held(), other.live)
    assert not other.asking.predicts(other.held(), other.live)


def test_beside_another_it_is_asked_until_it_answers(place: Answering) -> None:
    """As seldom as its share lets it; who never does has no share."""
    there = place(in_turn(*["1"] * 9, "2"))
    canary = there.rolling("canary")
    for release in (there.live, canary):
        assert there.asking.is_ready(there.held(canary), release)
        assert there.asking.predicts(there.held(canary), release)
    champion_only = place(in_turn("1"))
    canary = champion_only.rolling("canary")
    assert not champion_only.asking.predicts(champion_only.held(canary), canary)
    assert champion_only.asking.predicts(champion_only.held(canary), champion_only.live)


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_all_the_traffic_is_more_than_a_share_of_it(place: Answering, share: float) -> None:
    """A candidate that goes live has answered as often as its share could hardly have made it."""
    candidates = round(share * 10)
    mixed = place(in_turn(*["2"] * candidates, *["1"] * (10 - candidates)))
    before, coming = mixed.rolling("canary", share), as_live(release_of(arm(2)), mixed.url)
    assert not mixed.asking.predicts(mixed.held(before, coming), coming)
    alone = place(in_turn("2"))
    before, coming = alone.rolling("canary", share), as_live(release_of(arm(2)), alone.url)
    assert alone.asking.predicts(alone.held(before, coming), coming)


def test_in_an_ab_test_each_version_is_asked_on_purpose(place: Answering) -> None:
    """By its unit's status, and with a key that the router gives to it."""

    def version(asked: Asked) -> str:
        if "/status/v" in asked.path:
            return asked.path.partition("/status/v")[2].partition("-")[0]
        return "2" if place_of(asked.headers["x-request-key"]) < SHARES["ab"] else "1"

    there = place(version)
    test = there.rolling("ab")
    for release in (there.live, test):
        assert there.asking.is_ready(there.held(test), release)
        assert there.asking.predicts(there.held(test), release)


def test_without_a_pod_no_candidate_is_ready(place: Answering) -> None:
    """Whatever answers at the URL: a shadow's answers nobody sees."""
    there = place(in_turn("2"))
    for mode in SHARES:
        release = there.rolling(mode)
        assert not there.asking.candidate_is_ready(there.held(release), release)
        assert not there.asking.candidate_answers(there.held(release), release)


def test_an_overloaded_answer_is_no_answer_of_another_version(place: Answering) -> None:
    """It may have been the one that is meant: nobody knows, unless that one answers after all."""

    def unless_health(versions: Iterator[str]) -> Callable[[Asked], str]:
        return lambda asked: "2" if asked.path.endswith("/health/status") else next(versions)

    busy = place(unless_health(itertools.cycle([OVERLOADED, *["1"] * 9])))
    canary = busy.rolling("canary")
    with pytest.raises(ServiceBusy, match="overloaded"):
        busy.asking.predicts(busy.held(canary), canary)
    answering = place(unless_health(itertools.cycle([OVERLOADED, "1", "2"])))
    canary = answering.rolling("canary")
    assert answering.asking.predicts(answering.held(canary), canary)
    alone = place(unless_health(itertools.cycle([OVERLOADED])))
    live = as_live(release_of(arm(2)), alone.url)
    with pytest.raises(ServiceBusy, match="overloaded"):
        alone.asking.predicts(alone.held(), live)
