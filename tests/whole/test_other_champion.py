"""A verdict is about what was in production when it was reached; a champion that cannot be read refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.whole.shop import REFUSED, SEED_1, Shop, refused_release

PRODUCTION = "production"


@pytest.fixture(scope="module")
def shop(open_shop: Callable[[str], Shop]) -> Shop:
    """Version 1 is live in production, 2 was judged against it and passed."""
    made = open_shop("other-champion")
    assert made.train() == 1
    made.deploy(1, PRODUCTION)
    assert made.train(SEED_1) == 2
    return made


@pytest.fixture
def live(shop: Shop) -> Iterator[Shop]:
    """Fails the test when production serves something else after it."""
    before = shop.served(PRODUCTION), shop.aliases()
    assert before[0] is not None
    yield shop
    assert (shop.served(PRODUCTION), shop.aliases()) == before


@pytest.mark.parametrize("what", ["model", "splits"])
def test_a_champion_that_cannot_be_read_refuses_the_next_one(live: Shop, what: str, tmp_path: Path) -> None:
    """Its model, or what tells which pictures it learnt from, is gone: nothing can be compared with it."""
    place = live.stored(1, what)
    place = place if what == "model" else place.parent
    place.rename(tmp_path / "elsewhere")
    try:
        outcome = live.run("train.seed=7", train=True, source=str(live.delivery))
    finally:
        (tmp_path / "elsewhere").rename(place)
    assert (outcome.exit_code, outcome.last["verdict"]) == (REFUSED, "not_assessed"), outcome.said
    assert "accuracy_difference_to_champion: not assessed" in outcome.said
    assert "version 1 cannot be read" in outcome.said
    assert "not assessed" in refused_release(live, outcome.last["version"], environment=PRODUCTION)


def test_what_was_judged_against_another_champion_is_judged_again(shop: Shop) -> None:
    """While 2 waited, 3 went to production: 2 has to hold beside 3, and a person decides again."""
    assert shop.run(approve=2, by="Ada", reason="looked at the report").exit_code == 0
    third = shop.train("train.seed=2")
    shop.deploy(third, PRODUCTION)
    said = refused_release(shop, 2, environment=PRODUCTION)
    assert f"Version 2 was judged against version 1 (model {shop.versions()[1]['model_digest'][:12]})" in said
    assert f"production is version {third} (model {shop.versions()[third]['model_digest'][:12]}) now" in said
    data = shop.versions()[2]["data_version"][:16]
    assert "production needs a new approval: python run.py --config " in said
    assert f" --train --data {data}" in said
    assert shop.aliases()["champion"] == third

    again = shop.run(SEED_1, train=True, data=data)  # as it was told to
    assert again.last["version"] == 2, again.said  # the same model, judged again
    assert "other evidence" in refused_release(shop, 2, environment=PRODUCTION)
    shop.deploy(2, PRODUCTION)
    assert shop.served(PRODUCTION) == (2, shop.versions()[2]["model_digest"])
    back = shop.run(rollback=True, environment=PRODUCTION)
    assert back.exit_code == 0, back.said
    assert shop.aliases()["champion"] == third


def test_the_champion_itself_keeps_the_verdict_that_it_was_released_on(shop: Shop) -> None:
    """Trained again it is compared with itself, which proves nothing: evidence and approval stay."""
    champion = shop.aliases()["champion"]
    before = shop.versions()[champion]
    assert shop.train("train.seed=2") == champion
    assert shop.versions()[champion] == before
