"""What a look answers of what is dead, busy, forbidden, as good or undecided, and what a person may do."""

from __future__ import annotations

import hashlib
import re
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from zenml.client import Client

from materializers.errors import ServiceBusy
from materializers.release import Arm, Release
from pipelines.config import load_config
from serving.capture_layout import CAPTURES, folder_of, folder_of_hour, part_name, to_parquet
from steps.data.class_changes import ClassChanges
from steps.deployment import observe
from steps.deployment.candidate import reaching
from steps.deployment.observe import Observed, allowed_now, judge_service, observe_release, observe_rollout
from steps.deployment.rollout import log_end
from steps.deployment.settings import DeploymentSettings
from steps.evaluation.cost.settings import CostSettings
from steps.registry.approvers import ApprovalSettings
from steps.registry.audit import record
from steps.registry.presupposed import Presupposed
from steps.registry.register import register_version
from tests.materializers.examples import release, verdict
from tests.steps.deployment.held import HeldDeployer
from tests.steps.deployment.observing.traffic import BEGIN, captures
from tests.steps.evaluation.policies import product_policy

BUSY = "http://shop/predictions answered a picture that it is overloaded (429)"
DEADLINE = BEGIN + timedelta(days=7)


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is wrong with the evidence; tests/whole/test_rollouts.py looks at that."""
    monkeypatch.setattr("steps.deployment.observe.forbidden", lambda rolling: None)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not answer at once is not waited for."""
    monkeypatch.setattr(observe, "PATIENCE_S", 0.0)
    monkeypatch.setattr(observe, "PAUSE_S", 0.01)


def rolling_in(held: HeldDeployer) -> Release:
    """What is rolling out, since the begin of the traffic."""
    assert held.rolling is not None
    return held.rolling.model_copy(update={"stage_since": BEGIN})


def stored(rolling: Release, arm: Arm | None, rows: pd.DataFrame) -> None:
    """Store what one version answered, as the shipper does."""
    assert arm is not None
    known = {
        "model_name": rolling.model_name,
        "model_version": str(arm.version),
        "model_digest": arm.model_digest,
    }
    rows = rows.assign(**known).drop(columns="true")
    root = Path(Client().active_stack.artifact_store.path)
    for hour, within in rows.groupby(rows["at"].dt.floor("h")):
        columns = [str(name) for name in within.columns]
        content = to_parquet(CAPTURES, [dict(zip(columns, row, strict=True)) for row in within.to_numpy()])
        place = folder_of(CAPTURES, rolling.environment, rolling.model_name)
        folder = root / place / folder_of_hour(hour)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / part_name(hashlib.sha256(content).hexdigest(), pictures=False)).write_bytes(content)


def looked(rolling: Release, monkeypatch: pytest.MonkeyPatch, *assignments: str, days: float = 8) -> Observed:
    """What a look comes to, so many days after the begin, with these settings."""
    monkeypatch.setattr(observe, "now", lambda: BEGIN + timedelta(days=days))
    settings = load_config(None, ("deployment.observe.settling_s=0", *assignments)).deployment
    return observe_rollout(rolling, settings)


@pytest.mark.usefixtures("allowed")
def test_a_candidate_that_does_not_answer_is_rolled_back(held: HeldDeployer) -> None:
    """Dead or altered: whatever was counted of it."""
    held.answers = False
    assert held.rolling is not None
    observed = observe_rollout(held.rolling, DeploymentSettings())
    assert observed.answer == "roll back"
    assert "Version 3 does not answer a picture as that version, unaltered" in observed.reasons[0]


@pytest.mark.usefixtures("allowed")
def test_a_question_that_got_no_answer_ends_nothing(
    held: HeldDeployer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked again, as while a process restarts; one that answers by then goes on."""
    monkeypatch.setattr(observe, "PATIENCE_S", 20.0)
    held.fails = 3
    observed = looked(rolling_in(held), monkeypatch, days=0)
    assert (observed.answer, held.fails) == ("continue", -1)


@pytest.mark.usefixtures("allowed")
def test_a_candidate_is_asked_for_so_long_and_then_believed(
    held: HeldDeployer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither at once nor without an end."""
    monkeypatch.setattr(observe, "PATIENCE_S", 0.2)
    held.answers, begun = False, time.monotonic()
    observed = looked(rolling_in(held), monkeypatch, days=0)
    assert observed.answer == "roll back"
    assert "for 0.2 s now" in observed.reasons[0]
    assert 0.2 <= time.monotonic() - begun < 10


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize(("days", "answer"), [(0, "continue"), (8, "roll back")])
def test_a_look_says_that_nothing_ships_what_it_compares(
    held: HeldDeployer, monkeypatch: pytest.MonkeyPatch, days: float, answer: str
) -> None:
    """With what mends it: while there is time, and where the candidate goes for want of data."""
    gone = "The shipper does not run. Start it: zenml model-deployer models start ID"
    held.missing = [gone]
    seen = looked(rolling_in(held), monkeypatch, days=days)
    assert (seen.answer, seen.reasons[0]) == (answer, gone)
    assert any("0 requests" in reason or "0 of" in reason for reason in seen.reasons[1:]), seen.reasons
    held.missing = []
    assert gone not in looked(rolling_in(held), monkeypatch, days=days).reasons


@pytest.mark.usefixtures("allowed")
def test_a_candidate_that_has_no_time_goes_on_and_is_not_promoted(
    held: HeldDeployer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 429 says nothing of the version; what users were answered is as good, and waits."""
    rolling = rolling_in(held)
    stored(rolling, rolling.champion, captures(36_000, seed=9, prefix="h"))
    stored(rolling, rolling.candidate, captures(4000))
    held.busy = BUSY
    observed = looked(rolling, monkeypatch)
    assert observed.answer == "continue"
    assert (
        f"Version 3 had no time to answer a picture, and is not promoted before it does: {BUSY}"
        in (observed.reasons[0])
    )
    held.busy = None
    assert looked(rolling, monkeypatch).answer == "promote"


@pytest.mark.usefixtures("allowed")
def test_a_candidate_that_has_no_time_is_judged_by_what_it_answered(
    held: HeldDeployer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails users: it goes, and for that reason."""
    rolling = rolling_in(held)
    stored(rolling, rolling.champion, captures(900, seed=9, prefix="h"))
    stored(rolling, rolling.candidate, captures(100, errors=0.9))
    held.busy = BUSY
    observed = looked(rolling, monkeypatch)
    assert observed.answer == "roll back"
    assert any("requests that failed" in reason for reason in observed.reasons)


def test_what_is_live_and_has_no_time_is_not_taken_out(held: HeldDeployer) -> None:
    """Whoever asked is told that it stays as it is, and how one goes on."""
    held.busy = BUSY
    with pytest.raises(ServiceBusy, match=r"stays live in production and is not recorded yet.*--status"):
        judge_service(release(status="live"))
    held.busy, held.answers = None, False
    assert judge_service(release(status="live")) == "roll back"


def test_a_candidate_that_the_registry_does_not_know_is_rolled_back(held: HeldDeployer) -> None:
    """Its records are gone, and with them what allowed it to be served."""
    assert held.rolling is not None
    observed = observe_rollout(held.rolling, DeploymentSettings())
    assert observed.answer == "roll back"
    assert "knows no version 3" in observed.reasons[0]


@pytest.mark.usefixtures("allowed")
def test_what_was_to_be_rolled_back_before_still_is(held: HeldDeployer) -> None:
    """Whoever logged it was killed before the candidate went: the reason of then is told."""
    assert held.rolling is not None
    log_end(held.rolling, "It errs.", by="a pipeline")
    observed = observe_rollout(held.rolling, DeploymentSettings())
    assert (observed.answer, observed.reasons) == ("roll back", ("It errs.",))


POLICY = verdict().evidence.policy
JUDGED_WITH = Presupposed(declared="0" * 64, serving="1" * 64)
CONFIGURED: dict[str, Any] = {
    "policy_digest": POLICY,
    "presupposed": JUDGED_WITH,
    "approval": ApprovalSettings(),
}
"""As version 3 was judged and approved."""
OTHERWISE: dict[str, tuple[dict[str, Any], str]] = {
    "policy": (
        {"policy_digest": "9" * 64},
        f"judged by policy {POLICY[:12]}, the policy is now 999999999999: judge it again, ",
    ),
    "peak": (
        {"presupposed": JUDGED_WITH.model_copy(update={"serving": "9" * 64})},
        r"judged with another peak.*python run\.py --train --data [0-9a-f]{16}\b",
    ),
    "accepted": (
        {"presupposed": JUDGED_WITH.model_copy(update={"declared": "9" * 64})},
        "judged with other accepted advisories",
    ),
    "approvers": ({"approval": ApprovalSettings(approvers=("bob",))}, "may not approve; configured are: bob"),
}


def judged(held: HeldDeployer, outcome: str = "passed", verdict_digest: str | None = None) -> None:
    """Version 3 is registered, and the gate's last word on it is this."""
    name, arm = rolling_in(held).model_name, rolling_in(held).candidate
    assert arm is not None
    for number in ("1", "2", "3"):
        register_version(name, {"identity": number, "verdict": "passed", "model_uri": "store/model"})
    said = {"verdict": outcome, "verdict_digest": verdict_digest or arm.verdict.digest}
    record("gate", {"model": name, "version": "3", **said, **JUDGED_WITH.recorded}, by="a test", reason="why")


@pytest.mark.parametrize("answer", ["promote", "continue"])
def test_a_candidate_goes_on_by_what_it_was_judged_by(held: HeldDeployer, answer: Any) -> None:
    """Whoever looks has configured what the gate had: the look's own answer stands."""
    judged(held)
    assert allowed_now(Observed(answer, ("why",)), rolling_in(held), **CONFIGURED) == Observed(
        answer, ("why",)
    )


@pytest.mark.parametrize("what", OTHERWISE)
def test_a_candidate_gets_no_more_by_what_it_was_not_judged_by(held: HeldDeployer, what: str) -> None:
    """Policy, settings and approvers are asked again at each look; what harms is taken out all the same."""
    judged(held)
    other, said = OTHERWISE[what]
    refused = allowed_now(Observed("promote", ("as good",)), rolling_in(held), **{**CONFIGURED, **other})
    assert (refused.answer, refused.reasons[1:]) == ("refuse", ("as good",))
    assert re.search(said, refused.reasons[0])
    assert "goes on with what it has (canary, 10%)" in refused.reasons[0]
    assert refused.reasons[0].endswith("python run.py --rollback --environment production")
    back = Observed("roll back", ("it errs",))
    assert allowed_now(back, rolling_in(held), **{**CONFIGURED, **other}) == back


def test_a_candidate_that_was_judged_again_gets_no_more(held: HeldDeployer) -> None:
    """On the verdict that it began on nothing is released any more."""
    judged(held)
    judged(held, "refused", "9" * 64)
    refused = allowed_now(Observed("promote"), rolling_in(held), **CONFIGURED)
    assert refused.answer == "refuse"
    assert "The gate's last verdict on version 3 by the audit log is refused" in refused.reasons[0]


def test_what_is_live_beside_a_rollout_in_staging_is_not_tested_anew(held: HeldDeployer) -> None:
    """It is repaired there; at its URL the candidate would answer a part of the test, and fail it."""
    assert held.champion is not None
    live = held.champion.model_copy(update={"environment": "staging"})
    seen = observe_release(
        live,
        policy=product_policy(),
        presupposed=JUDGED_WITH,
        approval=ApprovalSettings(),
        cost=CostSettings(),
        settings=DeploymentSettings(),
    )
    assert seen == Observed("promote")


@pytest.mark.parametrize("status", ["refused", "rolled_back", "proposed"])
def test_what_is_not_live_is_not_asked(held: HeldDeployer, status: str) -> None:
    """There is nothing that could answer."""
    assert judge_service(release(status=status)) == "nothing to observe"


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize(("renamed", "answer"), [({}, "roll back"), ({"shoes": "footwear"}, "promote")])
def test_a_look_knows_which_classes_were_renamed(
    held: HeldDeployer, monkeypatch: pytest.MonkeyPatch, renamed: dict[str, str], answer: str
) -> None:
    """A candidate that gives the champion's answers under today's names is as good, and not as bad."""
    judged(held)
    monkeypatch.setattr(observe, "require_as_configured", lambda *_, **__: None)  # tested above
    held.rolling = rolling = rolling_in(held)
    candidate = captures(4000)
    stored(rolling, rolling.champion, captures(36_000, seed=9, prefix="h"))
    stored(
        rolling, rolling.candidate, candidate.assign(label=candidate["label"].replace("shoes", "footwear"))
    )
    monkeypatch.setattr(observe, "now", lambda: DEADLINE)
    found = observe.observe.entrypoint(
        rolling,
        policy=product_policy(),
        presupposed=JUDGED_WITH,
        approval=ApprovalSettings(),
        cost=CostSettings(),
        settings=DeploymentSettings(),
        class_changes=ClassChanges(renamed=renamed),
    )
    assert found[0] == answer


ASK = "deployment.observe.undecided=ask"
PROMOTE = "deployment.observe.undecided=promote"


def advised(observed: Observed) -> list[str]:
    """The commands that a person is told, in order."""
    assert observed.answer == "continue"
    return re.findall(r"python run\.py [^,;:]*?(?=,| or |$)", observed.reasons[-1])


def set_by(command: str) -> str:
    """What a command sets."""
    return command.partition(" --set ")[2]


@pytest.mark.usefixtures("allowed")
def test_what_is_undecided_is_promoted_by_the_command_that_is_advised(
    held: HeldDeployer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A candidate that is worse by just what is tolerated, when the plan is over."""
    rolling = rolling_in(held)
    stored(rolling, rolling.champion, captures(36_000, seed=9, prefix="h"))
    stored(rolling, rolling.candidate, captures(4000, errors=0.005, seed=4))
    promote, end = advised(looked(rolling, monkeypatch, ASK))
    assert promote.startswith("python run.py --observe --environment production --set ")
    assert end == "python run.py --rollback --environment production"
    assert looked(rolling, monkeypatch, ASK, set_by(promote)).answer == "promote"


@pytest.mark.usefixtures("allowed")
def test_what_had_too_little_to_compare_is_given_the_time_that_is_advised(
    held: HeldDeployer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its requests come in the second week: they count then. ``undecided: promote`` would take it out."""
    rolling = rolling_in(held)
    few, later = timedelta(0), timedelta(days=9)
    for delay, n in ((few, 100), (later, 4000)):
        for arm, rows in (
            (rolling.champion, captures(9 * n, seed=9, prefix=f"h{n}-")),
            (rolling.candidate, captures(n, prefix=f"c{n}-")),
        ):
            stored(rolling, arm, rows.assign(at=rows["at"] + delay))
    more, end = advised(looked(rolling, monkeypatch, ASK, days=11))[:2]
    assert end == "python run.py --rollback --environment production"
    assert looked(rolling, monkeypatch, ASK, set_by(more), days=11).answer == "promote"
    assert looked(rolling, monkeypatch, PROMOTE, days=11).answer == "roll back"


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize("n", [0, 4000])
def test_a_shadow_is_released_by_the_commands_that_are_advised(
    held: HeldDeployer, monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    """Nothing promotes it, and ``undecided: promote`` takes it out: it is taken out, and begins anew."""
    rolling = rolling_in(held).model_copy(update={"mode": "shadow", "share": 0.0})
    if n:
        stored(rolling, rolling.champion, captures(n))
        stored(rolling, rolling.candidate, captures(n))
    end, begin = advised(looked(rolling, monkeypatch, ASK))
    assert end == "python run.py --rollback --environment production"
    assert begin.startswith("python run.py --deploy --version 3 --environment production --set ")
    settings = load_config(None, (ASK, "deployment.production.mode=shadow", set_by(begin))).deployment
    proposed = release(environment="production", champion=rolling.champion)
    assert reaching(proposed, settings.production, version=3).mode == "canary"
    assert looked(rolling, monkeypatch, PROMOTE).answer == "roll back"
