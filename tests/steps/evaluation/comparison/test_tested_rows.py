"""Tests of steps/evaluation/comparison/tested_rows.py: a test set is known again when it has grown."""

from __future__ import annotations

import hashlib

import pytest

from steps.evaluation.comparison.tested_rows import KEPT, sample_of, share_in_common


def ids(first: int, last: int) -> list[str]:
    """Digests, as pictures have them."""
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(first, last)]


def test_the_same_pictures_are_the_same_in_any_order() -> None:
    """And a registry keeps less than a thousand characters of any number of them."""
    many = ids(0, 5000)
    assert sample_of(many) == sample_of(many[::-1])
    assert share_in_common(sample_of(many), sample_of(many)) == 1
    assert len(sample_of(many)) < 1000


@pytest.mark.parametrize(
    ("other", "shared"),
    [(ids(0, 460), 1.0), (ids(225, 675), 0.5), (ids(45, 495), 0.9), (ids(450, 900), 0.0), (ids(0, 90), 1.0)],
)
def test_the_share_of_large_sets_is_near_the_true_one(other: list[str], shared: float) -> None:
    """Of 450 test pictures: a few more, half others, a tenth others, all others, and a fifth of them."""
    assert share_in_common(sample_of(ids(0, 450)), sample_of(other)) == pytest.approx(shared, abs=0.2)


def test_the_share_of_small_sets_is_exact() -> None:
    """As long as all of them are kept; of the smaller one; nothing is no part of anything."""
    assert KEPT > 40
    assert share_in_common(sample_of(ids(0, 40)), sample_of(ids(30, 50))) == 0.5
    assert share_in_common(sample_of(ids(30, 50)), sample_of(ids(0, 40))) == 0.5
    assert share_in_common(sample_of([]), sample_of(ids(0, 40))) == 0
