"""The page of a version that was trained again."""

from __future__ import annotations

import re

import pytest

from materializers.reproduction import Compared
from tests.materializers.examples import reproduction


def words_of(page: str) -> str:
    """A page's text in one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", page.partition("<body>")[2]).split())


def test_the_page_of_an_equal_one_says_so_first() -> None:
    """In large, with each thing that went in beside what was recorded of it."""
    page = words_of(reproduction().page())
    assert page.startswith(
        "Version 3 of product-classifier, trained again Equal Version 3 was trained again."
    )
    assert f"data {'d4' * 32} {'d4' * 32} ✓ equal" in page
    assert f"code {'e5' * 32} {'0c' * 32} ✗ differs" in page
    assert "platform – x86-64 with AVX-512 ○ not recorded" in page
    assert "0 of 30 tensors differ" in page
    assert "nothing was registered" in page


def test_the_page_of_one_that_differs_names_the_worst_tensors() -> None:
    """By how much each differs, and what has no counterpart."""
    page = words_of(reproduction(outcome="differs").page())
    assert "trained again Differs" in page
    assert "24 of 30 tensors differ" in page
    assert "head.1.weight 512 × 64 3.1e-05 0.00042" in page
    assert "no counterpart of their shape and type head.2.bias" in page


def test_weights_that_cannot_be_read_have_no_figures() -> None:
    """The page does without them."""
    report = reproduction(outcome="differs", weights=None)
    assert "tensors differ" not in report.page()
    assert report.headline() == {"outcome": "differs", "version": 3}


@pytest.mark.parametrize(
    ("recorded", "here", "same"), [("a", "a", True), ("a", "b", False), (None, "b", None), ("a", None, None)]
)
def test_what_nobody_recorded_is_neither_equal_nor_other(
    recorded: str | None, here: str | None, same: bool | None
) -> None:
    """Only two things that are known are compared."""
    assert Compared(name="lock", recorded=recorded, here=here).same is same


def test_the_headline_has_what_the_dashboard_shows_first() -> None:
    """Outcome, version, and by how much."""
    assert reproduction(outcome="differs").headline() == {
        "outcome": "differs",
        "version": 3,
        "tensors_that_differ": 25,
        "largest_relative_difference": 0.00042,
    }
