"""Which version a request key gets: always the same, in the shares that were asked for."""

from __future__ import annotations

from typing import Any

import pytest

from serving.router import CANDIDATE, CHAMPION, KeyRouter, key_for, place_of, router_arguments

KEYS = [f"customer-{number}" for number in range(1000)]


def chosen(router: KeyRouter, message: Any) -> int:
    """The place among the children that Seldon's engine reads out of the answer."""
    [[child]] = router.route_raw(message)["data"]["ndarray"]
    return int(child)


def keyed(key: str) -> dict[str, Any]:
    return {"binData": "", "meta": {"puid": "some-request", "tags": {"request_key": key}}}


def test_no_key_moves_and_the_shares_hold_over_the_keys() -> None:
    """1,000 keys, ten times each, in two processes' routers: 20 % within the 99 % binomial interval."""
    one, other = KeyRouter(share=0.2), KeyRouter(share=0.2)
    first = [chosen(one, keyed(key)) for key in KEYS]
    for _ in range(10):
        assert [chosen(other, keyed(key)) for key in KEYS] == first
    # The interval is what scipy.stats.binom gives for 1,000 trials.
    assert 168 <= sum(first) <= 233


def test_a_wider_share_takes_keys_and_gives_none_back() -> None:
    """Who had the candidate has it still."""
    narrow, wide = KeyRouter(share=0.2), KeyRouter(share=0.5)
    had = [key for key in KEYS if chosen(narrow, keyed(key)) == CANDIDATE]
    assert {chosen(wide, keyed(key)) for key in had} == {CANDIDATE}
    assert {chosen(KeyRouter(share=1), keyed(key)) for key in KEYS} == {CANDIDATE}
    assert {chosen(KeyRouter(share=0), keyed(key)) for key in KEYS} == {CHAMPION}


@pytest.mark.parametrize(
    "message",
    [
        {"meta": {"tags": {"request_key": "k"}}},
        {"meta": {"tags": {"request_key": "k"}, "puid": "other"}},
        {"meta": {"puid": "k"}},
        {"meta": {"puid": "k", "tags": {"request_key": ""}}},
        {"meta": {"puid": "k", "tags": {"request_key": 7}}},
        {"request": {"meta": {"puid": "k"}}, "reward": 1.0},
        {"response": {"meta": {"tags": {"request_key": "k"}, "puid": "other"}}, "truth": {}},
    ],
)
def test_the_key_is_the_callers_else_the_request_id(message: dict[str, Any]) -> None:
    """Feedback carries it in the request or the answer that it is about."""
    router = KeyRouter(share=place_of("k") + 1e-9)
    assert chosen(router, message) == CANDIDATE
    assert chosen(KeyRouter(share=place_of("k")), message) == CHAMPION


@pytest.mark.parametrize("message", [None, [], b"", "text", {}, {"meta": None}, {"meta": {"tags": []}}])
def test_what_has_no_key_goes_to_the_champion(message: Any) -> None:
    """Whatever it is: it fails nobody."""
    assert chosen(KeyRouter(share=1), message) == CHAMPION


def test_one_version_can_be_asked_on_purpose() -> None:
    """There is a key for either, as long as it has a share."""
    for share in (0.01, 0.2, 0.99):
        for child in (CHAMPION, CANDIDATE):
            assert chosen(KeyRouter(share=share), keyed(key_for(child, share))) == child


def test_a_share_lies_between_none_and_all() -> None:
    """Anything else is a mistake of whoever starts it."""
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="lies between 0 and 1"):
            KeyRouter(share=share)
    assert KeyRouter(share=0.2).health_status() == {"share": 0.2}
    told = router_arguments(host="127.0.0.1", port=1, metrics_port=2, share=0.2, token_file="t")
    assert told == [
        *("--host", "127.0.0.1", "--port", "1", "--metrics-port", "2"),
        *("--share", "0.2", "--token-file", "t"),
    ]
