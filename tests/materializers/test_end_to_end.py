"""An end-to-end test passes where everything in it did."""

from __future__ import annotations

import pytest

from tests.materializers.examples import end_to_end, exchange

FAILED = exchange(answered="HTTP 500: no reason", outcome="refused")


def test_one_that_passed_says_what_was_asked() -> None:
    """Every kind of request, and that there was load."""
    test = end_to_end()
    assert (test.outcome, test.reasons()) == ("passed", [])
    assert "HTTP 400: not_an_image" in test.page()
    assert test.headline() == {"version": 3, "outcome": "passed", "reasons": []}


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        ({"exchanges": (FAILED,)}, "no image: expected HTTP 4xx with a reason, answered HTTP 500: no reason"),
        ({"load": "refused", "load_reasons": ("p99: 612",)}, "under load: p99: 612"),
        ({"load": "not_assessed", "load_reasons": ("nobody answered",)}, "under load: nobody answered"),
    ],
)
def test_one_exchange_or_the_load_refuses(known: dict[str, object], reason: str) -> None:
    """The page says why."""
    test = end_to_end(**known)
    assert (test.outcome, test.reasons()) == ("refused", [reason])
    assert f"<li>{reason}</li>" in test.page()


def test_one_that_asked_nothing_passed_nothing() -> None:
    """Whoever stored it left out the requests."""
    assert end_to_end(exchanges=()).outcome == "refused"


def test_where_no_load_was_asked_for_the_page_says_so() -> None:
    """It passes on its requests alone."""
    test = end_to_end(load=None, load_test=None)
    assert test.outcome == "passed"
    assert "No load was asked for." in test.page()
