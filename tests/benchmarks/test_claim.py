"""Claims hold or are missed as their figures say, and name what they are compared with."""

from __future__ import annotations

import os

import pytest

from benchmarks.claim import Claim, at_least, at_most, guarded, this_machine


@pytest.mark.parametrize(("ours", "holds"), [(0.4, True), (0.5, True), (0.51, False)])
def test_at_most_holds_up_to_its_limit(ours: float, holds: bool) -> None:
    """The limit itself is still within the bar; the ratio is against the limit where there is no peer."""
    claim = at_most("help", ours, 0.5, "s")
    assert claim.holds is holds
    assert claim.peer is None
    assert claim.ratio == pytest.approx(ours / 0.5)
    assert claim.bar == "≤ 0.5 s"


@pytest.mark.parametrize(("ours", "holds"), [(0.93, True), (0.92, True), (0.919, False)])
def test_at_least_holds_from_its_limit_on(ours: float, holds: bool) -> None:
    """The limit itself reaches the bar; a figure below it misses."""
    claim = at_least("accuracy", ours, 0.92, "")
    assert claim.holds is holds
    assert claim.bar == "≥ 0.92"


def test_the_ratio_is_against_the_peer() -> None:
    """With a peer the ratio compares with it, and the limit decides."""
    claim = at_most("bookkeeping", 3.0, 2.4, "s", peer=2.0)
    assert claim.ratio == pytest.approx(1.5)
    assert not claim.holds


@pytest.mark.parametrize(("ours", "ratio", "holds"), [(0, 0.0, True), (3, 1.0, False)])
def test_a_limit_of_zero_has_a_ratio(ours: float, ratio: float, holds: bool) -> None:
    """Where nothing may fail, the ratio is 0 for nothing and 1 for anything."""
    claim = at_most("failed requests", ours, 0, "requests")
    assert (claim.ratio, claim.holds) == (ratio, holds)


def test_a_part_that_fails_is_a_claim_that_says_why_and_does_not_hold(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its trace is on standard error; JSON has no figure for it. One that succeeds is told at once."""

    def failing() -> list[Claim]:
        raise RuntimeError("the registry does not answer")

    (failed,) = guarded("peers", failing)
    assert (failed.ours, failed.ratio, failed.holds) == (None, None, False)
    assert str(failed) == "peers: NOT MEASURED: RuntimeError: the registry does not answer"
    assert "Traceback" in capsys.readouterr().err
    (held,) = guarded("help", lambda: [at_most("help", 0.4, 0.5, "s", peer=0.8)])
    told = capsys.readouterr().err
    assert "help: 0.4 s, peer 0.8, bar ≤ 0.5 s, ratio 0.5: holds" in told
    assert str(held) in told


def test_the_machine_is_named() -> None:
    """The figures' machine is the one that this runs on."""
    machine = this_machine(1.234)
    assert machine.cores == os.cpu_count()
    assert machine.load_before == 1.23
    assert machine.processor
