"""What may roll out beside what: the same answers wherever it is served."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from materializers.errors import Refused, UsageError
from materializers.release import Arm, Release
from stacks.served import (
    as_live,
    as_rolling_out,
    require_champion,
    require_no_other_rollout,
    require_not_ended,
    require_share,
    same_rollout,
    same_stage,
)
from tests.stacks.local_deployer.conftest import DIGEST, make_verdict, release_of

BASE = "https://models.example/seldon/a/b"


def arm(version: int) -> Arm:
    return Arm(version=version, model_digest=DIGEST, model_uri=f"m/{version}", verdict=make_verdict(DIGEST))


def canary(version: int, champion: int | None = 1, **changes: Any) -> Release:
    beside = None if champion is None else arm(champion)
    proposed = release_of(arm(version), champion=beside)
    return proposed.model_copy(update={"mode": "canary", "share": 0.1, **changes})


def test_a_candidate_rolls_out_beside_exactly_what_it_was_proposed_beside() -> None:
    """Its champion is what is live; there is one, it is no other by now, and not the candidate itself."""
    live = as_live(release_of(arm(1)), BASE)
    assert require_champion(canary(2), live) == arm(1)
    refusals: list[tuple[Callable[[], object], str]] = [
        (lambda: require_champion(canary(2), None), "Nothing is live in staging"),
        (lambda: require_champion(canary(2, champion=3), live), "beside version 3; now version 1 is live"),
        (lambda: require_champion(canary(2, champion=None), live), "beside nothing; now version 1 is live"),
        (lambda: require_champion(canary(1), live), "Version 1 is live in staging already"),
    ]
    for check, says in refusals:
        with pytest.raises(Refused, match=says):
            check()


def test_one_version_rolls_out_at_a_time() -> None:
    """The one that does may go on, in whatever mode; another one waits."""
    require_no_other_rollout(canary(2), None)
    require_no_other_rollout(release_of(arm(2)), canary(2))
    approved_again = arm(2).model_copy(update={"signature": "later"})
    require_no_other_rollout(release_of(approved_again), canary(2))
    says = r"Version 2 is rolling out in staging \(canary, 10%\), so version 3 .*--rollback --env.* staging"
    with pytest.raises(Refused, match=says):
        require_no_other_rollout(release_of(arm(3)), canary(2))


@pytest.mark.parametrize(
    ("mode", "good", "bad"),
    [("full", 1, 0.5), ("shadow", 0, 0.1), ("canary", 0.5, 0), ("canary", 0.01, 1), ("ab", 0.2, 0)],
)
def test_a_share_goes_with_the_mode(mode: str, good: float, bad: float) -> None:
    """A shadow answers nobody, a canary somebody and never everybody."""
    assert require_share(canary(2, mode=mode, share=good)) == good
    with pytest.raises(UsageError, match=rf"mode {mode} cannot have the share {bad:g}"):
        require_share(canary(2, mode=mode, share=bad))


def test_a_rollout_keeps_its_name_and_begin_through_its_stages() -> None:
    """Another share begins another stage; the same once more begins nothing."""
    first = as_rolling_out(canary(2), BASE, None)
    assert (first.status, first.url) == ("rolling_out", f"{BASE}/api/v1.0/predictions")
    assert first.rollout
    assert first.since == first.stage_since
    again = as_rolling_out(canary(2), BASE, first)
    assert again == first
    wider = canary(2, share=0.5, stage=1)
    assert not same_stage(wider, first)
    then = as_rolling_out(wider, BASE, first)
    assert (then.rollout, then.since) == (first.rollout, first.since)
    assert then.stage_since is not None
    assert first.stage_since is not None
    assert then.stage_since > first.stage_since
    assert as_rolling_out(canary(2, rollout="named"), BASE, None).rollout == "named"


def test_what_goes_on_with_a_rollout_needs_it_to_be_there() -> None:
    """Its first share, its own next one and what is live already may come; nothing else does."""
    live = as_live(release_of(arm(1)), BASE)
    begun = as_rolling_out(canary(2, rollout="mine"), BASE, None)
    wider = canary(2, share=0.5, stage=1, rollout="mine")
    promoted = wider.model_copy(update={"mode": "full", "share": 1.0})
    another = begun.model_copy(update={"rollout": "another"})
    other_version = begun.model_copy(update={"candidate": arm(3)})
    require_not_ended(canary(2, rollout="mine"), live, None)
    require_not_ended(release_of(arm(2)), live, None)
    for going_on in (begun, wider, promoted):
        require_not_ended(going_on, live, begun)
        require_not_ended(going_on, as_live(promoted, BASE), None)
        for champion, rolling in ((live, None), (None, None), (live, another), (live, other_version)):
            with pytest.raises(Refused, match=r"rollout mine of version 2 .*ended by another command.*anew"):
                require_not_ended(going_on, champion, rolling)


def test_an_attempt_is_known_by_its_name_and_version() -> None:
    """In whatever stage; the same version once more is another attempt."""
    begun = as_rolling_out(canary(2), BASE, None)
    assert same_rollout(as_rolling_out(canary(2, share=0.5, stage=1), BASE, begun), begun)
    assert not same_rollout(None, begun)
    assert not same_rollout(as_rolling_out(canary(2), BASE, None), begun)
    assert not same_rollout(begun.model_copy(update={"candidate": arm(3)}), begun)
