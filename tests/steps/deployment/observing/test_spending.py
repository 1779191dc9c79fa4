"""Looks share one error rate, however many there are."""

from __future__ import annotations

import numpy as np
import pytest

from steps.deployment.observing.spending import EVENLY, fractions, levels, spent


@pytest.mark.parametrize("looks", [2, 10, 40])
@pytest.mark.parametrize("alpha", [0.02, 0.0001])
def test_all_looks_together_use_just_the_error_rate(looks: int, alpha: float) -> None:
    """Each some of it, the last one what is left, which is most."""
    used = levels(fractions(looks, 0.005), alpha)
    assert used.sum() == pytest.approx(alpha)
    assert (used > 0).all()
    assert used[-1] == used.max()


def test_looks_are_the_same_factor_apart_and_end_at_all_that_is_planned() -> None:
    """The first where it was set."""
    found = fractions(10, 0.005)
    assert (found[0], found[-1]) == (pytest.approx(0.005), pytest.approx(1.0))
    assert np.diff(np.log(found)) == pytest.approx(np.log(200) / 9)


def test_nothing_is_spent_before_the_first_request_and_no_more_than_all_after_the_last() -> None:
    """Beyond the plan, too."""
    assert spent([0.0, 1.0, 1.7], 0.02) == pytest.approx([0.0, 0.02, 0.02])


def test_most_of_it_is_spent_as_lan_and_demets_do_for_o_brien_and_fleming() -> None:
    """Their table: of 0.05, 0.00001 at a fifth, 0.0056 at half (two-sided form); a tenth goes evenly."""
    late = (spent([0.2, 0.5], 0.05) - EVENLY * 0.05 * np.array([0.2, 0.5])) / (1 - EVENLY)
    assert late == pytest.approx([0.0000117, 0.00557], rel=0.02)


def test_an_early_look_keeps_enough_for_what_always_fails() -> None:
    """A millionth and not nothing."""
    assert 1e-7 < levels(fractions(10, 0.005), 0.02 / 8)[0] < 1e-5
