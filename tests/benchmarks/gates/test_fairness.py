"""The fairness gate's benchmark simulates what it says."""

from __future__ import annotations

import numpy as np

from benchmarks.gates.fairness import SIZES, measure, refused


def test_every_claim_holds_in_a_quick_run() -> None:
    """Detection with two and with five groups, false alarms at every size with both."""
    claims = measure(quick=True)
    assert len(claims) == 2 + 2 * len(SIZES)
    assert all(claim.holds for claim in claims)
    assert {claim.limit for claim in claims if "detection" in claim.name} == {0.9}
    assert {claim.limit for claim in claims if "false alarms" in claim.name} == {0.05}


def test_a_bare_threshold_refuses_noise() -> None:
    """Of ten equal groups of 100, in half of the test sets and more; the gate in none."""
    found = refused(np.full(10, 0.85), 100, 60)
    assert found.threshold > 0.4
    assert found.gate == 0


def test_a_gap_of_the_limit_is_refused_seldom_and_a_large_one_always() -> None:
    """By the gate; the threshold refuses half of those that are allowed."""
    allowed, large = (refused(np.array([0.9, 0.9 - gap]), 500, 60) for gap in (0.1, 0.4))
    assert allowed.gate < 0.15
    assert allowed.threshold > 0.3
    assert (large.gate, large.threshold) == (1, 1)
