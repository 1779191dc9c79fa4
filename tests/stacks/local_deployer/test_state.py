"""What is live, on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from materializers.errors import DamagedArtifact, ServiceUnreachable
from materializers.release import Arm
from stacks.local_deployer.state import Deployment, Replica, Route, State, StateFile
from stacks.served import HISTORY_LENGTH, Entry
from tests.stacks.local_deployer.conftest import make_verdict, release_of


def entry(version: int) -> Entry:
    """A release of this version, pinned."""
    digest = f"{version:064x}"
    arm = Arm(version=version, model_digest=digest, model_uri="", verdict=make_verdict(digest))
    return Entry.pin(release_of(arm), arm)


def versions(entries: tuple[Entry, ...]) -> list[int]:
    """Which versions, in order."""
    return [one.served[0] for one in entries]


def test_the_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Releases, replicas and history survive; without a file nothing is live."""
    file = StateFile(tmp_path)
    assert file.load() == State()
    replica = Replica(name="staging-v2-0", port=1, metrics_port=2)
    candidate = Replica(name="staging-v3-0", port=3, metrics_port=4)
    deployment = Deployment(live=entry(2), replica=replica, history=(entry(1),)).rolling(entry(3), candidate)
    state = State().with_deployment("staging/m", deployment)
    file.save(state)
    assert StateFile(tmp_path).load() == state
    assert state.model_digests() == {entry(version).model_digest for version in (1, 2, 3)}
    assert state.replica_names() == {replica.name, candidate.name}


def test_the_state_of_before_there_were_rollouts_is_read(tmp_path: Path) -> None:
    """Nothing rolls out there; what is written next is of today's format."""
    replica = Replica(name="staging-v2-0", port=1, metrics_port=2)
    deployment = Deployment(live=entry(2), replica=replica, history=(entry(1),))
    file = StateFile(tmp_path)
    file.save(State().with_deployment("staging/m", deployment))
    written = json.loads(file.path.read_text())
    assert written["format_version"] == 2
    del written["deployments"]["staging/m"]["rollout"]
    file.path.write_text(json.dumps({**written, "format_version": 1}))
    state = file.load()
    assert state.deployment("staging/m") == deployment
    file.save(state)
    assert json.loads(file.path.read_text())["format_version"] == 2


def test_a_rollout_leaves_what_is_live_and_its_past_alone() -> None:
    """It is no predecessor of anything, and ends with what it rolls out beside."""
    champion, candidate = (Replica(name=name, port=1, metrics_port=2) for name in "ab")
    live = Deployment(live=entry(2), replica=champion, history=(entry(1),))
    assert live.route == Route(replica=champion)
    release = entry(3).release.model_copy(update={"mode": "canary", "share": 0.1})
    canary = entry(3).model_copy(update={"release": release})
    out = live.rolling(canary, candidate)
    assert out.route == Route(replica=champion, candidate=candidate, mode="canary", share=0.1)
    assert [one.name for one, _ in out.running] == ["a", "b"]
    assert versions(out.chain) == [1, 2]
    assert out.without_rollout() == live
    assert versions(out.down().history) == [1, 2]
    assert out.down().rollout is None
    assert out.down().route is None


def test_a_damaged_state_is_named_and_not_taken_for_nothing(tmp_path: Path) -> None:
    """What is live must not be forgotten because a file is broken."""
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(DamagedArtifact, match=r"state\.json"):
        StateFile(tmp_path).load()


@pytest.mark.parametrize(
    ("replica", "why"),
    [
        (Replica(name="staging-v2-0", port=3, metrics_port=4), "was not started for production/m"),
        (
            Replica(name="production-v1-0", port=1, metrics_port=4),
            "two releases have a replica with the port 1",
        ),
    ],
    ids=["another environment's", "another one's port"],
)
def test_a_replica_that_is_another_releases_is_refused(tmp_path: Path, replica: Replica, why: str) -> None:
    """Whoever edits the file cannot lead one environment's traffic to what runs for another."""
    staged = Deployment(live=entry(2), replica=Replica(name="staging-v2-0", port=1, metrics_port=2))
    served = Deployment(live=entry(1), replica=replica)
    file = StateFile(tmp_path)
    file.save(State(deployments={"staging/m": staged, "production/m": served}))
    with pytest.raises(DamagedArtifact, match=why):
        file.load()


def test_a_version_is_no_predecessor_of_itself() -> None:
    """Repairing, stopping and starting the same version leaves its predecessor where it was."""
    deployment = Deployment(live=entry(2), history=(entry(1),))
    assert versions(deployment.past(entry(3))) == [1, 2]
    assert versions(deployment.past(entry(2))) == [1]
    assert versions(deployment.down().history) == [1, 2]
    assert versions(deployment.down().past(entry(2))) == [1]
    assert versions(deployment.down().past(entry(3))) == [1, 2]


def test_the_history_is_bounded() -> None:
    """The oldest releases are forgotten first."""
    deployment = Deployment()
    for version in range(1, HISTORY_LENGTH + 5):
        deployment = Deployment(live=entry(version), history=deployment.past(entry(version)))
    assert versions(deployment.history) == list(range(4, HISTORY_LENGTH + 4))


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    """The second is told who holds it; afterwards it is free."""
    with (
        StateFile(tmp_path).locked("the first act", timeout_s=0),
        pytest.raises(ServiceUnreachable, match="the first act"),
        StateFile(tmp_path).locked("the second", timeout_s=0.1),
    ):
        pass
    with StateFile(tmp_path).locked("the third", timeout_s=0):
        pass
