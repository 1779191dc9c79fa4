"""What is kept with the resource, and what gives way when it does not fit."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from materializers.errors import DamagedArtifact, ServiceUnreachable
from materializers.release import Arm
from stacks.seldon_deployer.state import (
    ANNOTATION_BYTES,
    HISTORY,
    LIVE,
    History,
    Kept,
    Pending,
    State,
    read_state,
)
from stacks.served import HISTORY_LENGTH, Entry
from tests.stacks.local_deployer.conftest import DIGEST, make_verdict, release_of


def kept(version: int, *, filler: int = 10) -> Kept:
    arm = Arm(version=version, model_digest=DIGEST, model_uri="s3://b/m", verdict=make_verdict(DIGEST))
    entry = Entry.pin(release_of(arm), arm)
    return Kept(**dict(entry), specification={"version": version, "filler": "x" * filler})


def changing(state: State, version: int) -> State:
    coming = kept(version)
    now = datetime.now(UTC)
    return state.begun(Pending(token="t", beat=now, coming=coming, past=state.past_of(coming)))


def test_what_is_written_is_read() -> None:
    """Live, history and pending come back as they were; a change that is concluded leaves its history."""
    state = changing(State(live=kept(2), history=History(releases=(kept(1),))), 3)
    assert read_state("it", state.annotations()) == state
    after = state.concluded()
    assert (after.live, after.history.releases, after.pending) == (kept(3), (kept(1), kept(2)), None)
    assert state.undone() == State(live=kept(2), history=History(releases=(kept(1),)))


def test_what_rolls_out_is_kept_beside_what_is_live() -> None:
    """It is never part of what was live; once it goes live, or something else does, it rolls out no more."""
    out = kept(3).release.model_copy(update={"status": "rolling_out", "mode": "canary", "share": 0.1})
    rolling = kept(3).model_copy(update={"release": out})
    state = State(live=kept(2), history=History(releases=(kept(1),)))
    assert state.serving == state.live
    pending = Pending(token="t", beat=datetime.now(UTC), coming=rolling, past=0)
    beside = state.begun(pending).concluded()
    assert beside == state.with_rolling(rolling)
    assert (beside.serving, beside.chain) == (rolling, state.chain)
    assert read_state("it", beside.annotations()) == beside
    assert beside.begun(pending).undone() == beside
    promoted = changing(beside, 3).concluded()
    assert (promoted.live, promoted.rolling) == (kept(3), None)
    assert promoted.history.releases == (kept(1), kept(2))
    assert beside.down(remember=True) == state.down(remember=True)


def test_annotations_of_before_there_were_rollouts_are_read() -> None:
    """Nothing rolls out there."""
    written = State(live=kept(2), history=History(releases=(kept(1),))).annotations()
    assert set(written) == {LIVE, HISTORY}
    assert read_state("it", written).rolling is None


def test_what_is_served_already_is_no_predecessor_of_itself() -> None:
    """The version that is live comes up anew: the one before it stays the one before."""
    state = State(live=kept(2), history=History(releases=(kept(1),)))
    assert changing(state, 2).concluded().history.releases == (kept(1),)


def test_what_a_withdrawn_rollback_had_replaced_is_kept() -> None:
    """What is forgotten was put back: what it replaced was live last, under settings that nobody knows."""
    replaced = kept(2).release
    live = kept(1).model_copy(
        update={
            "release": kept(1).release.model_copy(
                update={"restored": True, "champion": replaced.candidate, "by": "Bob", "why": "it is bad"}
            )
        }
    )
    state = State(live=live, history=History(releases=(kept(3),)))
    down = state.down(remember=False)
    assert down.live is None
    assert [one.served for one in down.history.releases] == [kept(3).served, kept(2).served]
    last = down.history.releases[-1]
    assert (last.release, last.specification) == (replaced, None)
    assert read_state("it", down.annotations()) == down
    assert State(live=kept(2), history=History(releases=(kept(1),))).down(remember=False) == State(
        history=History(releases=(kept(1),))
    )


def test_a_full_history_loses_its_oldest_and_no_other() -> None:
    """All that is kept and what is live were live before a new version."""
    releases = tuple(kept(version) for version in range(1, HISTORY_LENGTH + 1))
    live = kept(HISTORY_LENGTH + 1)
    after = changing(State(live=live, history=History(releases=releases)), HISTORY_LENGTH + 2).concluded()
    assert after.history.releases == (*releases[1:], live)


def test_the_oldest_gives_way_where_not_everything_fits() -> None:
    """Specifications of older releases first, then older releases; the previous one is whole to the last."""
    filler = ANNOTATION_BYTES // 12
    releases = tuple(kept(version, filler=filler) for version in range(1, 17))
    state = State(live=kept(17, filler=filler), history=History(releases=releases))
    written = state.annotations()
    assert sum(len(key) + len(value) for key, value in written.items()) <= ANNOTATION_BYTES
    found = read_state("it", written)
    assert found.live == state.live
    assert [one.served[0] for one in found.history.releases] == list(range(1, 17))
    assert found.history.releases[-1] == releases[-1]
    assert found.history.releases[0].specification is None

    large = release_of(
        Arm(version=1, model_digest=DIGEST, model_uri="m" * filler, verdict=make_verdict(DIGEST))
    )
    older = tuple(kept(version).model_copy(update={"release": large}) for version in range(1, 17))
    cut = changing(State(live=kept(17), history=History(releases=older)), 18)
    found = read_state("it", cut.annotations())
    left = len(found.history.releases)
    assert 0 < left < 16
    assert found.history.forgotten == 16 - left
    assert found.pending is not None
    assert found.pending.past == left + 1
    assert len(found.concluded().history.releases) == left + 1


def test_what_never_fits_is_refused() -> None:
    """A live release that is larger than all annotations together is not written."""
    with pytest.raises(ServiceUnreachable, match="does not fit"):
        State(live=kept(1, filler=ANNOTATION_BYTES)).annotations()


@pytest.mark.parametrize("damage", ["{", '{"version": 1}', '"text"', "null"])
def test_what_cannot_be_understood_is_said(damage: str) -> None:
    """Half a record, and one of something else: named, with what mends it."""
    for key in (LIVE, HISTORY):
        if (key, damage) != (LIVE, "null"):
            with pytest.raises(DamagedArtifact, match=r"SeldonDeployment a .*python run\.py --stop"):
                read_state("SeldonDeployment a", {key: damage})
