"""A version is proposed as its environment is configured, beside what its verdict was reached beside."""

from __future__ import annotations

import re
from typing import Any

import pytest

from materializers.errors import Refused
from materializers.evidence import DECISION, registry_client
from materializers.release import Release
from materializers.verdict import Opponent
from steps.deployment.candidate import in_production, propose_release, reaching, require_judged_against
from steps.deployment.release import carry_out
from steps.deployment.settings import DeploymentSettings, EnvironmentSettings
from steps.registry.aliases import CHALLENGER, CHAMPION
from steps.registry.approvers import ApprovalSettings
from steps.registry.presupposed import Presupposed
from steps.registry.register import register_version
from tests.materializers.examples import EVIDENCE, MODEL_DIGEST, arm, release, verdict
from tests.steps.deployment.held import HeldDeployer

FIRST, SECOND = Opponent(version=1, model="1" * 64), Opponent(version=2, model="2" * 64)
SAME_MODEL = Opponent(version=2, model=MODEL_DIGEST)


@pytest.mark.parametrize(
    ("judged", "now"), [(FIRST, FIRST), (None, None), (None, SAME_MODEL), (FIRST, SAME_MODEL)]
)
def test_what_was_judged_beside_what_is_live_may_take_its_place(
    judged: Opponent | None, now: Opponent | None
) -> None:
    """Also where nothing is live yet; and a model takes its own place, whatever it was judged beside."""
    require_judged_against(now, arm(verdict=verdict(champion=judged)))


@pytest.mark.parametrize(
    ("judged", "now", "said"),
    [
        (FIRST, SECOND, r"against version 1 \(model 111111111111\), production is version 2 \(model 2222"),
        (None, SECOND, r"against no version, production is version 2 \(model 222222222222\) now"),
        (FIRST, None, r"against version 1 \(model 111111111111\), production is empty now"),
        (FIRST, Opponent(version=1, model="3" * 64), r"production is version 1 \(model 333333333333\) now"),
    ],
)
def test_what_was_judged_beside_something_else_is_judged_again(
    judged: Opponent | None, now: Opponent | None, said: str
) -> None:
    """The refusal names both and how to; the same number with another model is something else."""
    again = f"python run.py --train --data {EVIDENCE.data[:16]}"
    with pytest.raises(Refused, match=f"{said}.*judge it again, .*new approval: {again}"):
        require_judged_against(now, arm(verdict=verdict(champion=judged)))


@pytest.mark.usefixtures("local_stack")
def test_with_nothing_live_the_last_champion_is_what_counts() -> None:
    """What is live counts first; after ``--stop`` no version becomes the first one anew."""
    name = "was-in-production"
    assert in_production(name, None) is None
    tags = {"identity": "one", "verdict": "passed", "model_uri": "store/model", "model_digest": "1" * 64}
    register_version(name, tags)
    assert in_production(name, None) is None
    registry_client().set_registered_model_alias(name, CHAMPION, "1")
    assert in_production(name, None) == FIRST
    assert in_production(name, arm(3)) == Opponent(version=3, model=MODEL_DIGEST)


def proposed(
    held: HeldDeployer, version: int | None, mode: Any = "canary", name: str | None = None
) -> Release:
    """What is proposed for production of a model, or of the one that is live, whose evidence nobody reads."""
    if name is None:
        assert held.champion is not None
        name = held.champion.model_name
    return propose_release(
        name,
        "production",
        version=version,
        policy_digest="0" * 64,
        presupposed=Presupposed(declared="0" * 64, serving="1" * 64),
        approval=ApprovalSettings(),
        settings=DeploymentSettings(production=EnvironmentSettings(mode=mode)),
    )


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"verdict": "refused"}, "passed the gate. Train one: python run.py --train --source PATH$"),
        (
            {"verdict": "passed", DECISION: "rejected by Bob: no"},
            "that nobody rejected passed the gate. Train",
        ),
        ({"verdict": "passed"}, "is new, .*: python run.py --deploy --environment production --version 1$"),
    ],
)
def test_where_none_is_named_and_none_waits_a_version_that_passed_is(
    held: HeldDeployer, tags: dict[str, str], said: str
) -> None:
    """It was taken out of the challengers, and nothing was ever live: nobody is told that none passed."""
    assert held.champion is not None
    name = held.champion.model_name
    register_version(name, {"identity": "one", "model_uri": "store/model", **tags})
    registry_client().delete_registered_model_alias(name, CHALLENGER)
    held.champion = held.rolling = None
    nothing = proposed(held, None, name=name)
    assert nothing.status == "refused"
    assert re.search(f"No version of {name} {said}", nothing.reasons[0])


@pytest.mark.parametrize("version", [3, None])
@pytest.mark.parametrize("mode", ["canary", "ab", "full"])
def test_what_is_rolling_out_is_proposed_as_it_is(held: HeldDeployer, version: int | None, mode: str) -> None:
    """Also by a configuration that would begin otherwise, which is said; running it again looks again."""
    again = carry_out(proposed(held, version, mode))
    assert again.model_copy(update={"reasons": ()}) == held.rolling
    assert held.applied == []
    if mode == "canary":
        assert again.reasons == ()
    else:
        assert f"goes on in mode canary, not in mode {mode} as is configured now" in again.reasons[0]
        assert "python run.py --rollback --environment production" in again.reasons[0]


def test_beside_what_is_rolling_out_no_other_version_is_released(held: HeldDeployer) -> None:
    """The command that ends it is named, and nothing is applied."""
    refused = carry_out(proposed(held, 4))
    assert refused.status == "refused"
    assert "Version 3 is rolling out in production since 2026-11-21 12:00 UTC" in refused.reasons[0]
    assert "version 4 is not released there now" in refused.reasons[0]
    assert "python run.py --rollback --environment production" in refused.reasons[0]
    assert held.applied == []


@pytest.mark.parametrize(("mode", "share"), [("canary", 0.25), ("ab", 0.2), ("shadow", 0.0)])
def test_a_version_reaches_its_environment_as_that_is_configured(mode: Any, share: float) -> None:
    """In its mode, with what the candidate gets of that first, as an attempt of its own."""
    settings = EnvironmentSettings(mode=mode, stages=(0.25,), ab_share=0.2)
    first, second = (reaching(release(champion=arm(2)), settings, version=3) for _ in range(2))
    assert (first.mode, first.share, first.stage) == (mode, share, 0)
    assert first.rollout
    assert first.rollout != second.rollout


def test_where_nothing_is_live_a_version_takes_all_at_once_and_says_why() -> None:
    """There is nothing that it could be compared with."""
    alone = reaching(release(champion=None), EnvironmentSettings(mode="canary"), version=3)
    assert (alone.mode, alone.share, alone.rollout) == ("full", 1.0, "")
    assert "nothing is live in production that it could roll out beside" in alone.why
    assert "in the place of mode canary" in alone.why


def test_what_is_live_already_does_not_roll_out_beside_itself() -> None:
    """Releasing it again leaves it as it is."""
    again = reaching(release(champion=arm(3)), EnvironmentSettings(mode="canary"), version=3)
    assert (again.mode, again.share, again.rollout, again.why) == ("full", 1.0, "", "")
