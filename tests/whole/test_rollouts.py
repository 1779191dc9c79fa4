"""A version reaches production a little at a time: it is promoted, rolled back or refused, over real HTTP."""

from __future__ import annotations

import fcntl
import zipfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.whole.captured import Traffic
from tests.whole.conftest import own_services
from tests.whole.shop import (
    IMPOSSIBLE,
    REFUSED,
    SEED_1,
    Outcome,
    Shop,
    altered,
    kill_service,
    refused_release,
)

if TYPE_CHECKING:
    from zenml.client import Client

    from materializers.release import Release

CANARY = (
    "deployment.production={mode: canary, stages: [0.5]}",
    "deployment.observe={minimum_requests: 120, planned_requests: 120, looks: 2, first_look: 0.5}",
    "deployment.observe={alpha: 0.1, power: 0.6}",
    "deployment.observe.margins={errors: 0.3, rejections: 0.3, latency: 5, latency_ms: 1000}",
    "deployment.observe.margins={abstention: 0.6, probability: 0.8, class_shares: 0.8}",
)
"""Margins so wide that 120 requests are enough; fewer never show what the latency's 95th percentile is."""
ENOUGH = 320
"""Requests, half of which the candidate answers."""
MODES = ("canary", "ab", "shadow")
LATER = timedelta(minutes=15)
"""As if so much time had passed: no rollout is promoted before the least of it is over."""


@pytest.fixture(scope="module", autouse=True)
def services(local_stack: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Services that capture nothing: the test stores what they answer, or something else."""
    with own_services(local_stack, "rollouts", tmp_path_factory.mktemp("rollouts"), capture=False):
        yield


@pytest.fixture(scope="module")
def shop(open_shop: Callable[[str], Shop]) -> Shop:
    """Version 1 is live in production, 2 was refused, 3 passed, was tested in staging and approved."""
    made = open_shop("rollouts")
    assert made.train() == 1
    assert made.train("train.seed=2", IMPOSSIBLE, expected=REFUSED) == 2
    made.deploy(1, "production")
    assert made.train(SEED_1) == 3
    made.deploy(3)
    approved = made.run(approve=3, by="Ada", reason="looked at the report")
    assert approved.exit_code == 0, approved.said
    return made


@pytest.fixture
def before(shop: Shop) -> Iterator[Shop]:
    """The shop with version 1 live in production and nothing rolling out, at the begin and in the end."""
    yield shop
    rolling = rolling_out(shop)
    if rolling is not None:
        assert shop.run(rollback=True, environment="production").exit_code == 0
    served = shop.served("production")
    if served is not None and served[0] != 1:
        assert shop.run(rollback=True, environment="production").exit_code == 0
    assert shop.aliases()["champion"] == 1


@pytest.fixture
def traffic(shop: Shop) -> Traffic:
    """Pictures of the delivery, to be sent to production."""
    with zipfile.ZipFile(shop.delivery) as delivery:
        names = [name for name in delivery.namelist() if name.endswith(".png")]
        return Traffic(shop, "production", [delivery.read(name) for name in names[::7]])


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at is looked at a quarter of an hour from now."""
    monkeypatch.setattr("steps.deployment.observe.now", lambda: datetime.now(UTC) + LATER)


def rolling_out(shop: Shop) -> Release | None:
    """What is rolling out in production."""
    from steps.deployment.deployer import active_deployer

    return active_deployer().rolling_out(shop.model, "production")


def schedules(shop: Shop) -> list[str]:
    """The names of the schedules of this model."""
    from steps.orchestrator import active_orchestrator

    return [one.name for one in active_orchestrator().schedules() if one.name.endswith(shop.model)]


def logged(shop: Shop, *acts: str) -> list[str]:
    """The acts on version 3 in production that the audit log has, the oldest first."""
    from materializers.audit_log import read_log

    found = [each.entry for each in read_log() if each.entry and each.entry.act in acts]
    about = {"model": shop.model, "environment": "production", "version": "3"}
    return [entry.act for entry in found if about.items() <= entry.subject.items()]


def state_file() -> Path:
    """The file in which the deployer of this module's services has what is live."""
    from steps.deployment.deployer import active_deployer

    deployer: Any = active_deployer()
    found: Path = deployer.config.site / "state.json"
    return found


def begin(shop: Shop, *assignments: str) -> None:
    """Let version 3 begin to roll out."""
    outcome = shop.run(*(assignments or CANARY), deploy=True, version=3, environment="production")
    assert outcome.exit_code == 0, (outcome.results, outcome.stderr)
    assert outcome.last["release"]["status"] == "rolling_out", outcome.last


def look(shop: Shop, *assignments: str) -> Any:
    """Look once at what is rolling out."""
    return shop.run(*(assignments or CANARY), observe=True, environment="production")


@pytest.mark.usefixtures("later")
def test_a_canary_as_good_as_the_champion_gets_all_the_traffic(before: Shop, traffic: Traffic) -> None:
    """Same URL throughout; the aliases move in the end, and not before; status and log tell of it."""
    shop, noted = before, len(logged(before, "roll-out", "release"))
    begin(shop)
    assert shop.aliases()["champion"] == 1
    assert schedules(shop) == [f"observe-production-{shop.model}"]
    counts = traffic.send(ENOUGH)
    assert set(counts) == {"1", "3"}
    assert 120 <= counts["3"] <= 200
    status = shop.run(status=True)
    (shown,) = status.last["rollouts"]
    assert (shown["version"], shown["champion"], shown["mode"], shown["share"]) == (3, 1, "canary", 0.5)
    assert "python run.py --scheduler" in shown["looked_at_by"]
    assert [one["version"] for one in status.last["deployments"] if one["environment"] == "production"] == [1]
    traffic.capture()

    promoted = look(shop)
    assert promoted.exit_code == 0, (promoted.results, promoted.stderr)
    assert (promoted.last["release"]["status"], promoted.last["version"]) == ("live", 3)
    assert shop.served("production") == (3, shop.versions()[3]["model_digest"])
    assert (shop.aliases()["champion"], shop.aliases()["previous"]) == (3, 1)
    assert rolling_out(shop) is None
    assert schedules(shop) == []
    assert logged(shop, "roll-out", "release")[noted:] == ["roll-out", "release"]
    assert traffic.send(20) == {"3": 20}


@pytest.mark.usefixtures("later")
def test_a_canary_gets_no_more_by_another_policy_than_its_own(before: Shop, traffic: Traffic) -> None:
    """Though it is as good as the champion: a look by a tightened one is refused, and changes nothing.

    By the policy of its verdict it is promoted.
    """
    tightened = (*CANARY, "policy.rules.accuracy.limit=0.6")
    begin(before)
    served, rolling, noted = before.served("production"), rolling_out(before), len(logged(before, "roll-out"))
    traffic.send(ENOUGH)
    traffic.capture()
    for refused in (
        look(before, *tightened),
        before.run(*tightened, deploy=True, version=3, environment="production"),
        look(before, *CANARY, "approval.approvers=[bob]"),
    ):
        assert (refused.exit_code, refused.last["status"]) == (REFUSED, "refused"), refused.results
        assert "Version 3 gets no more of the traffic in production, and goes on with what" in refused.said
        assert "--rollback --environment production" in refused.said
    assert (before.served("production"), rolling_out(before)) == (served, rolling)
    assert before.aliases()["champion"] == 1
    assert len(logged(before, "roll-out")) == noted
    assert schedules(before) == [f"observe-production-{before.model}"]
    promoted = look(before)
    assert promoted.exit_code == 0, promoted.said
    assert before.served("production") == (3, before.versions()[3]["model_digest"])


@pytest.mark.usefixtures("later")
def test_a_canary_that_errs_is_rolled_back_and_says_why(before: Shop, traffic: Traffic) -> None:
    """Exit code 3; the champion has all the traffic again, and the figures are a picture on the release."""
    from zenml.client import Client

    shop, noted = before, len(logged(before, "roll-out", "end-rollout"))
    begin(shop)
    assert traffic.send(200)["3"] >= 60
    traffic.capture(model_version="3", status=500, label=None, probability=None, abstained=None)

    back = look(shop)
    assert (back.exit_code, back.last["status"]) == (REFUSED, "refused"), back.results
    assert back.last["release"]["status"] == "rolled_back"
    assert "requests that failed: 100 %" in back.said
    release = Client().get_pipeline_run(back.last["run"]).steps["conclude"].outputs["release"][0].load()
    assert release.status == "rolled_back"
    assert release.pictures
    assert shop.aliases()["champion"] == 1
    assert rolling_out(shop) is None
    assert schedules(shop) == []
    assert logged(shop, "roll-out", "end-rollout")[noted:] == ["roll-out", "end-rollout"]
    assert traffic.send(20) == {"1": 20}


@pytest.mark.usefixtures("later")
def test_waiting_ends_with_the_rollout(
    before: Shop, traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is observed is shown meanwhile, and users are served; the result is the last look's."""
    shop = before

    def meanwhile(seconds: float, console: object) -> None:
        traffic.send(ENOUGH // 2)
        traffic.capture()

    monkeypatch.setattr("actions.wait._sleep", meanwhile)
    ended = shop.run(*CANARY, deploy=True, version=3, environment="production", wait=True)
    assert ended.exit_code == 0, ended.said
    assert ended.last["release"]["status"] == "live"
    assert "version 3, canary at 50%" in ended.stderr
    assert shop.served("production") == (3, shop.versions()[3]["model_digest"])


def test_without_enough_requests_a_canary_goes_on_and_asks_for_more(before: Shop, traffic: Traffic) -> None:
    """Exit code 0; releasing it again looks again, with the same share and the same attempt."""
    begin(before)
    first = rolling_out(before)
    traffic.send(5)
    traffic.capture()
    again = before.run(*CANARY, deploy=True, version=3, environment="production")
    assert (again.exit_code, again.last["release"]["status"]) == (0, "rolling_out")
    assert "before 120 nothing is promoted" in again.said
    assert rolling_out(before) == first
    status = before.run(status=True)
    assert status.last["rollouts"][0]["observed"]["answer"] == "continue"


@pytest.mark.usefixtures("impatient")
def test_a_candidate_that_dies_costs_no_request_and_is_rolled_back(before: Shop, traffic: Traffic) -> None:
    """The champion answers in its place until the next look takes it out."""
    begin(before)
    rolling = rolling_out(before)
    assert rolling is not None
    kill_service(rolling)
    assert traffic.send(60) == {"1": 60}
    back = look(before)
    assert back.exit_code == REFUSED
    assert "does not answer a picture as that version" in back.said
    assert rolling_out(before) is None


def reject(shop: Shop) -> Outcome:
    """Reject version 3."""
    return shop.run(reject=3, by="Bob", reason="the bags look wrong")


def last_acts(n: int) -> Sequence[str]:
    """The last acts that the audit log has, the oldest first."""
    from materializers.audit_log import read_log

    return [each.entry.act for each in read_log() if each.entry][-n:]


@pytest.fixture
def approved_again(before: Shop) -> Iterator[Shop]:
    """Whoever rejects version 3 approves it again in the end."""
    yield before
    assert before.run(approve=3, by="Ada", reason="they are fine").exit_code == 0


def test_a_version_that_is_rejected_while_it_rolls_out_is_taken_out(approved_again: Shop) -> None:
    """At once, after the rejection was logged; what is live is untouched, and nothing looks any more."""
    shop = approved_again
    begin(shop)
    served = shop.served("production")
    rejected = reject(shop)
    assert rejected.exit_code == 0, rejected.said
    assert "It rolls out in production no more; version 1 has all the traffic again" in rejected.said
    assert rolling_out(shop) is None
    assert shop.served("production") == served
    assert schedules(shop) == []
    assert last_acts(2) == ["reject", "end-rollout"]
    assert look(shop).last["status"] == "skipped"


def test_a_version_that_is_rejected_once_its_rollout_got_all_the_traffic_is_taken_out(
    approved_again: Shop,
) -> None:
    """The look that promoted it was killed before it recorded that; the champion is live again."""
    from steps.deployment.rollout import advance
    from steps.deployment.settings import EnvironmentSettings

    shop = approved_again
    begin(shop)
    rolling = rolling_out(shop)
    assert rolling is not None
    assert advance(rolling, EnvironmentSettings(mode="canary", stages=(0.5,))).status == "live"
    rejected = reject(shop)
    assert rejected.exit_code == 0, rejected.said
    assert "not recorded yet; version 1 is live in production again. It was rejected by Bob" in rejected.said
    assert "It is live in staging, and stays so until: python run.py" in rejected.said
    assert shop.served("production") == (1, shop.versions()[1]["model_digest"])
    assert shop.aliases()["champion"] == 1
    assert schedules(shop) == []
    assert last_acts(3) == ["reject", "rollback", "end-rollout"]


def test_a_rejection_counts_also_where_its_rollout_cannot_be_ended(
    approved_again: Shop, stack_with_deployer: Callable[..., str]
) -> None:
    """Exit code 4, logged, and that nobody looks is said; a look by hand takes it out."""
    shop = approved_again
    begin(shop)
    impatient = shop.on(stack_with_deployer(lock_timeout_s=0.2))
    with state_file().with_name("lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        rejected = reject(impatient)
    assert (rejected.exit_code, rejected.last["action"]) == (4, "reject")
    assert "Version 3 of rollouts was rejected by Bob" in rejected.said
    assert "was not ended in order: Another command is changing what is served" in rejected.said
    assert "No scheduler runs, so nothing is fired" in rejected.said
    assert last_acts(2) == ["reject", "end-rollout"]
    assert rolling_out(shop) is not None
    back = look(shop)
    assert back.exit_code == REFUSED
    assert "the bags look wrong" in back.said
    assert rolling_out(shop) is None


def test_a_rejection_counts_also_where_nobody_can_tell_what_rolls_out(approved_again: Shop) -> None:
    """The damaged record is told, the rejection is logged; once the record is back a look takes it out."""
    shop = approved_again
    begin(shop)
    with altered(state_file(), b"{"):
        rejected = reject(shop)
    assert (rejected.exit_code, rejected.last["action"]) == (1, "reject")
    assert "Whether it rolls out in production cannot be read" in rejected.said
    assert last_acts(1) == ["reject"]
    back = look(shop)
    assert back.exit_code == REFUSED
    assert "the bags look wrong" in back.said
    assert rolling_out(shop) is None


def test_a_rollback_ends_what_rolls_out_and_leaves_what_is_live(before: Shop) -> None:
    """By whom and why stands in the log; the champion was not touched."""
    from materializers.audit_log import read_log

    begin(before)
    served = before.served("production")
    outcome = before.run(rollback=True, environment="production", by="Ada", reason="a complaint")
    assert outcome.exit_code == 0
    assert "Version 3 is not rolling out in production any more; version 1 has all" in outcome.said
    assert rolling_out(before) is None
    assert before.served("production") == served
    assert schedules(before) == []
    last = [each.entry for each in read_log("end-rollout") if each.entry][-1]
    assert (last.by, "a complaint" in last.reason) == ("Ada", True)
    nothing = look(before)
    assert (nothing.exit_code, nothing.last["status"]) == (0, "skipped")


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("stages", ["[0.5]", "[0.5, 0.9]"], ids=["the last stage", "a stage in between"])
def test_a_rollback_between_observing_and_concluding_is_not_undone_by_the_look(
    before: Shop, traffic: Traffic, monkeypatch: pytest.MonkeyPatch, stages: str
) -> None:
    """The look would have promoted, and says that a command ended the rollout; exit code 3."""
    from steps.deployment import conclude

    conclude_rollout = conclude.conclude_rollout
    shop, noted = before, len(logged(before, "roll-out", "end-rollout", "release"))
    canary = (*CANARY, f"deployment.production.stages={stages}")
    begin(shop, *canary)
    served = shop.served("production")
    traffic.send(ENOUGH)
    traffic.capture()
    answers: list[str] = []

    def ended_first(rolling: Release, answer: str, *rest: Any) -> Release:
        answers.append(answer)
        person = shop.process(
            "--rollback", "--environment", "production", "--by", "Ada", "--reason", "a complaint"
        )
        assert person.returncode == 0, person.stderr
        return conclude_rollout(rolling, answer, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(conclude, "conclude_rollout", ended_first)
        late = look(shop, *canary)
    assert answers == ["promote"]
    assert (late.exit_code, late.last["status"]) == (REFUSED, "refused"), late.results
    assert late.last["release"]["status"] == "refused"
    assert "another command ended that" in late.said
    assert shop.served("production") == served
    assert shop.aliases()["champion"] == 1
    assert rolling_out(shop) is None
    assert schedules(shop) == []
    assert logged(shop, "roll-out", "end-rollout", "release")[noted:] == ["roll-out", "end-rollout"]
    assert traffic.send(20) == {"1": 20}


def test_who_was_killed_once_the_candidate_served_is_gone_on_from(before: Shop) -> None:
    """No schedule, no entry in the log: looking adds the entry, and releasing again the schedule."""
    from steps.deployment.deployer import active_deployer

    noted = len(logged(before, "roll-out"))
    begin(before)
    rolling = rolling_out(before)
    assert rolling is not None
    assert before.run(rollback=True, environment="production").exit_code == 0
    # What a command leaves that is killed just after this.
    killed = rolling.model_copy(update={"rollout": "killed", "status": "proposed"})
    assert active_deployer().apply(killed).rollout == "killed"
    assert schedules(before) == []
    status = before.run(status=True)
    assert "no schedule looks at it; by hand: python run.py" in status.last["rollouts"][0]["looked_at_by"]
    looked = look(before)
    assert (looked.exit_code, looked.last["release"]["rollout"]) == (0, "killed")
    assert logged(before, "roll-out")[noted:] == ["roll-out", "roll-out"]
    again = before.run(*CANARY, deploy=True, version=3, environment="production")
    assert (again.exit_code, again.last["release"]["rollout"]) == (0, "killed")
    assert schedules(before) == [f"observe-production-{before.model}"]


def test_beside_what_rolls_out_no_other_version_is_released(before: Shop) -> None:
    """The refusal names the command that ends it."""
    begin(before)
    said = refused_release(before, 2, *CANARY, environment="production")
    assert "Version 3 is rolling out in production" in said
    assert "--rollback --environment production" in said
    assert schedules(before) == [f"observe-production-{before.model}"]


def kill_ingress() -> None:
    """End Envoy as a crash does."""
    from stacks.local_deployer import processes
    from stacks.local_deployer.ingress import ENVOY
    from steps.deployment.deployer import active_deployer

    deployer: Any = active_deployer()
    for process in processes.running(deployer.config.site)[ENVOY]:
        process.kill()
        process.wait(10)


def kill_champion() -> None:
    """End what is live in production as a crash does."""
    from steps.deployment.deployer import active_deployer

    live = active_deployer().current("rollouts", "production")
    assert live is not None
    kill_service(live)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kill", [kill_champion, kill_ingress])
def test_what_is_live_and_died_beside_a_rollout_is_brought_up_by_every_command_that_is_named(
    before: Shop, traffic: Traffic, kill: Callable[[], None]
) -> None:
    """By a look, by releasing it again, and by a rollback; the first two leave the rollout as it is."""
    shop = before
    begin(shop)
    rolling = rolling_out(shop)
    kill()
    told = shop.run(status=True).stderr
    assert "--rollback --environment production" in told
    assert "--deploy --environment production --version 1" in told
    looked = look(shop)
    assert (looked.exit_code, looked.last["release"]["status"]) == (0, "rolling_out"), looked.said
    assert "did not answer as that version; it was brought up again" in looked.said
    assert set(traffic.send(40)) == {"1", "3"}
    kill()
    again = shop.run(*CANARY, deploy=True, version=1, environment="production")
    assert (again.exit_code, again.last["release"]["status"]) == (0, "live"), again.said
    assert set(traffic.send(40)) == {"1", "3"}
    assert rolling_out(shop) == rolling
    assert schedules(shop) == [f"observe-production-{shop.model}"]
    kill()
    back = shop.run(rollback=True, environment="production")
    assert back.exit_code == 0, back.said
    assert "version 1 has all the traffic again" in back.said
    assert "did not answer as that version; it was brought up again" in back.said
    assert rolling_out(shop) is None
    assert traffic.send(20) == {"1": 20}


@pytest.mark.usefixtures("impatient")
def test_a_rejection_brings_up_what_takes_the_traffic_back(approved_again: Shop, traffic: Traffic) -> None:
    """It died while the candidate answered beside it."""
    begin(approved_again)
    kill_champion()
    rejected = reject(approved_again)
    assert rejected.exit_code == 0, rejected.said
    assert "did not answer as that version; it was brought up again" in rejected.said
    assert traffic.send(20) == {"1": 20}


@pytest.mark.usefixtures("impatient")
def test_a_rollback_says_no_success_while_what_is_live_does_not_come_up(
    before: Shop, traffic: Traffic, stack_with_deployer: Callable[..., str]
) -> None:
    """Exit code 1, with the command that mends it; the candidate is out."""
    begin(before)
    kill_champion()
    failed = before.on(stack_with_deployer(start_timeout_s=0.01)).run(rollback=True, environment="production")
    assert failed.exit_code == 1, failed.said
    assert "Version 3 is not rolling out in production any more. Version 1 is live" in failed.said
    assert "it was not brought up again" in failed.said
    assert "--deploy --environment production --version 1" in failed.said
    assert rolling_out(before) is None
    mended = before.run(deploy=True, version=1, environment="production")
    assert mended.exit_code == 0, mended.said
    assert traffic.send(20) == {"1": 20}


@pytest.mark.parametrize("mode", MODES)
def test_a_refused_version_rolls_out_in_no_mode(before: Shop, mode: str) -> None:
    """What is served is untouched, and nothing looks at it."""
    served = before.served("production")
    refused_release(before, 2, f"deployment.production.mode={mode}", environment="production")
    assert before.served("production") == served
    assert rolling_out(before) is None
    assert schedules(before) == []


@pytest.mark.parametrize("mode", MODES)
def test_a_version_without_an_approval_rolls_out_in_no_mode(before: Shop, mode: str) -> None:
    """It passed, and was tested in staging: the approval is missing, and is named."""
    served = before.served("production")
    version = before.train("train.seed=3")
    before.deploy(version)
    try:
        said = refused_release(
            before, version, f"deployment.production.mode={mode}", environment="production"
        )
        assert f"--approve {version}" in said
        assert before.served("production") == served
        assert rolling_out(before) is None
    finally:
        before.deploy(3)


def test_a_version_that_was_not_tested_in_staging_is_not_released_to_production(
    open_shop: Callable[[str], Shop],
) -> None:
    """Also the first one: it is approved, and the test is named that production asks for."""
    shop = open_shop("untested")
    version = shop.train()
    assert shop.run(approve=version, by="Ada", reason="looked").exit_code == 0
    said = refused_release(shop, version, environment="production")
    assert f"version {version} has no such test" in said
    assert f"--deploy --version {version}" in said
    assert shop.served("production") is None
    shop.deploy(version)
    too_old = "deployment.end_to_end_hours=0.0000001"
    assert "hours ago" in refused_release(shop, version, too_old, environment="production")
    first = shop.run(
        "deployment.production.mode=canary", deploy=True, version=version, environment="production"
    )
    assert first.exit_code == 0, first.said
    assert "nothing is live in production that it could roll out beside" in first.said
    assert shop.served("production") == (version, shop.versions()[version]["model_digest"])


@pytest.mark.parametrize("damage", ["not JSON", "gone"])
def test_stop_mends_a_damaged_record_also_while_something_rolls_out(before: Shop, damage: str) -> None:
    """Nothing runs any more, no schedule looks at it, and the log says who ended rollout and services."""
    from materializers.audit_log import read_log

    begin(before)
    state = state_file()
    state.write_text("{") if damage == "not JSON" else state.unlink()
    try:
        assert before.run(observe=True, environment="production").exit_code == 1
        stopped = before.run(stop=True, by="Ada", reason="nobody can tell what is live")
        assert stopped.exit_code == 0, (stopped.said, stopped.stderr)
        assert "process production-v1-" in stopped.said
        assert "process production-v3-" in stopped.said
        assert before.served("production") is None
        assert rolling_out(before) is None
        assert schedules(before) == []
        ended, last = [each.entry for each in read_log() if each.entry][-2:]
        assert [(each.act, each.by) for each in (ended, last)] == [("end-rollout", "Ada"), ("stop", "Ada")]
        assert (ended.subject["version"], ended.subject["environment"]) == ("3", "production")
    finally:
        before.deploy(1, "production")
