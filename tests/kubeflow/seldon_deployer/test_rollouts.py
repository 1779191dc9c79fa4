"""Two versions at one URL on a cluster, with real serving processes behind the stub."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from materializers.errors import NeverReady, Refused, UsageError
from materializers.release import Arm, Mode, Release
from serving.router import place_of
from stacks import probing
from stacks.seldon_deployer import rollout as rollout_module
from stacks.seldon_deployer.asking import through_ingress
from stacks.seldon_deployer.deployer import SeldonClusterModelDeployer
from stacks.seldon_deployer.interfaces import Interfaces
from stacks.seldon_deployer.manifest import predictor_name, programs
from stacks.seldon_deployer.rollout import Rollout
from stacks.seldon_deployer.store import Store
from tests.kubeflow.seldon_deployer.conftest import MakeDeployer, wait_for
from tests.kubeflow.seldon_deployer.test_deployer import (
    PRODUCTION,
    STAGING,
    Asking,
    Killed,
    answering_version,
)
from tests.remote.seldon_stub import SELDON_PATH, SERVICE_TOKEN, KubernetesStub
from tests.stacks.local_deployer.conftest import (
    MODEL_NAME,
    Registry,
    make_verdict,
    registry_is_down,
    rejected_in_the_log,
    release_of,
)

SHARES: dict[Mode, float] = {"canary": 0.1, "ab": 0.2, "shadow": 0.0}
FEWEST_ANSWERS = 40


def beside(
    candidate: Arm, champion: Arm | None, mode: Mode = "canary", share: float | None = None, **more: Any
) -> Release:
    """A release that rolls a version out beside another one; in staging unless told otherwise."""
    proposed = release_of(candidate, more.pop("environment", "staging"), champion=champion)
    changes = {"mode": mode, "share": SHARES[mode] if share is None else share, **more}
    return proposed.model_copy(update=changes)


def traffic(stub: KubernetesStub, name: str = STAGING) -> dict[str, tuple[int, bool]]:
    """Each predictor's traffic, and whether it is a shadow."""
    predictors = stub.resource(name)["spec"]["predictors"]
    return {one["name"]: (one["traffic"], bool(one.get("shadow"))) for one in predictors}


def pod_of(stub: KubernetesStub, arm: Arm) -> list[str]:
    """The pods of a version's own predictor."""
    return [name for name in stub.pods() if f"-{predictor_name(arm)}-" in name]


def test_a_canary_gets_its_share_then_more_then_all_and_keeps_its_pods(
    deployer: SeldonClusterModelDeployer, stub: KubernetesStub, first: Arm, second: Arm
) -> None:
    """No request fails on the way; the champion serves on until the candidate has it all."""
    live = deployer.apply(release_of(first))
    champions_pods = stub.pods()
    with Asking(str(live.url)) as asking:
        canary = deployer.apply(beside(second, first))
        assert (canary.status, canary.mode, canary.share, canary.url) == (
            "rolling_out",
            "canary",
            0.1,
            live.url,
        )
        assert canary.rollout
        assert deployer.rolling_out(MODEL_NAME, "staging") == canary
        assert deployer.current(MODEL_NAME, "staging") == live
        assert traffic(stub) == {predictor_name(first): (90, False), predictor_name(second): (10, False)}
        assert set(champions_pods) <= set(stub.pods())
        assert deployer.healthy(canary) and deployer.healthy(live)
        assert deployer.verify(canary) and deployer.verify(live)
        assert deployer.apply(beside(second, first)) == canary

        [its_pod] = pod_of(stub, second)
        wider = deployer.apply(beside(second, first, share=0.5, stage=1))
        assert (wider.rollout, wider.since) == (canary.rollout, canary.since)
        assert traffic(stub) == {predictor_name(first): (50, False), predictor_name(second): (50, False)}
        begun = len(asking.answers)
        wait_for(lambda: len(asking.answers) > begun + FEWEST_ANSWERS)
        assert set(asking.answers[begun:]) == {str(first.version), str(second.version)}

        promoted = deployer.apply(release_of(second, champion=first).model_copy(update={"mode": "full"}))
        assert (promoted.status, promoted.url) == ("live", live.url)
        wait_for(lambda: stub.pods() == [its_pod])
    assert asking.failures == []
    assert traffic(stub) == {predictor_name(second): (100, False)}
    assert deployer.rolling_out(MODEL_NAME, "staging") is None
    assert deployer.current(MODEL_NAME, "staging") == promoted
    assert deployer.previous(MODEL_NAME, "staging") == live
    assert deployer.verify(promoted)


def test_a_canary_has_the_replicas_of_a_share_before_it_gets_the_share(
    make_deployer: MakeDeployer,
    stub: KubernetesStub,
    first: Arm,
    second: Arm,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At the moment at which it is given more of the traffic, as many are ready as that takes."""
    deployer = make_deployer(staging={"replicas": 6})
    deployer.apply(release_of(first))
    deployer.apply(beside(second, first))
    begins = f"{STAGING}-{predictor_name(second)}-"
    assert ready_replicas(stub, begins) == 2
    pods, request = stub.pods(), httpx.Client.request
    written: list[tuple[int, int]] = []

    def looking(client: httpx.Client, method: str, url: Any, **options: Any) -> httpx.Response:
        if method == "PUT":
            candidate = options["json"]["spec"]["predictors"][1]
            written.append((candidate["traffic"], ready_replicas(stub, begins)))
        return request(client, method, url, **options)

    with monkeypatch.context() as patched:
        patched.setattr(httpx.Client, "request", looking)
        deployer.apply(beside(second, first, share=0.5, stage=1))
    assert next(ready for share, ready in written if share == 50) == 3
    assert traffic(stub)[predictor_name(second)] == (50, False)
    assert stub.pods() == pods


def ready_replicas(stub: KubernetesStub, begins: str) -> int:
    """How many Seldon says are ready of the predictor whose deployments' names begin so."""
    found = stub.resource(STAGING)["status"]["deploymentStatus"]
    return sum(one["availableReplicas"] for name, one in found.items() if name.startswith(begins))


def test_a_candidate_that_is_taken_out_leaves_nothing(
    deployer: SeldonClusterModelDeployer, stub: KubernetesStub, first: Arm, second: Arm
) -> None:
    """Its predictor is deleted and not left at 0 %, its pods are gone, and it was never live."""
    live = deployer.apply(release_of(first))
    before, pods = stub.resource(STAGING)["spec"], stub.pods()
    canary = deployer.apply(beside(second, first))
    with Asking(str(live.url)) as asking:
        assert deployer.end_rollout(canary)
        assert stub.pods() == pods
    assert asking.failures == []
    assert stub.resource(STAGING)["spec"] == before
    assert "shutterline/rolling-out" not in stub.resource(STAGING)["metadata"]["annotations"]
    assert not deployer.end_rollout(canary)
    assert deployer.rolling_out(MODEL_NAME, "staging") is None
    assert deployer.previous(MODEL_NAME, "staging") is None
    assert not deployer.healthy(canary)
    assert deployer.verify(live)


@pytest.mark.parametrize("ended_by", ["a rollback", "a stop", "another attempt"])
def test_an_ended_rollout_does_not_come_back_with_its_next_stage(
    deployer: SeldonClusterModelDeployer, stub: KubernetesStub, first: Arm, second: Arm, ended_by: str
) -> None:
    """Neither with a larger share nor with all the traffic: whoever observed it before that is refused."""
    deployer.apply(release_of(first))
    out = deployer.apply(beside(second, first))
    if ended_by == "a stop":
        deployer.stop()
    else:
        assert deployer.end_rollout(out)
    if ended_by == "another attempt":
        deployer.apply(beside(second, first))
    live, rolling = deployer.live(), deployer.rolling_out(MODEL_NAME, "staging")
    before = None if ended_by == "a stop" else stub.resource(STAGING)["spec"]
    pods = stub.pods()
    for share, mode in ((0.5, "canary"), (1.0, "full")):
        change = {"mode": mode, "share": share, "stage": out.stage + 1, "status": "proposed"}
        with pytest.raises(Refused, match="ended by another command"):
            deployer.apply(out.model_copy(update=change))
    assert (deployer.live(), deployer.rolling_out(MODEL_NAME, "staging")) == (live, rolling)
    assert stub.pods() == pods
    assert before is None or stub.resource(STAGING)["spec"] == before


def test_the_last_stage_of_a_rollout_can_be_repeated(
    deployer: SeldonClusterModelDeployer, stub: KubernetesStub, first: Arm, second: Arm
) -> None:
    """Whoever was killed after it gave the candidate all the traffic finds it live, and starts nothing."""
    deployer.apply(release_of(first))
    out = deployer.apply(beside(second, first))
    last = out.model_copy(update={"mode": "full", "share": 1.0, "stage": 1, "status": "proposed"})
    promoted = deployer.apply(last)
    wait_for(lambda: len(stub.pods()) == 1)  # the champion's ends when it likes
    pods = stub.pods()
    assert (promoted.status, promoted.rollout) == ("live", out.rollout)
    assert deployer.apply(last) == promoted
    assert stub.pods() == pods


def test_a_shadow_sees_every_request_and_answers_nobody(
    deployer: SeldonClusterModelDeployer, stub: KubernetesStub, first: Arm, second: Arm
) -> None:
    """It is one predictor more, whose answers go nowhere; from there it may become a canary."""
    live = deployer.apply(release_of(first))
    shadow = deployer.apply(beside(second, first, "shadow"))
    assert traffic(stub) == {predictor_name(first): (100, False), predictor_name(second): (0, True)}
    assert deployer.healthy(shadow) and deployer.verify(shadow) and deployer.verify(live)
    asked = stub.asked()[str(second.version)]
    versions = [answering_version(live.url) for _ in range(FEWEST_ANSWERS)]
    assert set(versions) == {str(first.version)}
    wait_for(lambda: stub.asked()[str(second.version)] == asked + FEWEST_ANSWERS)

    pods = stub.pods()
    canary = deployer.apply(beside(second, first, "canary", share=0.5))
    assert traffic(stub) == {predictor_name(first): (50, False), predictor_name(second): (50, False)}
    assert (canary.rollout, canary.since, stub.pods()) == (shadow.rollout, shadow.since, pods)
    assert deployer.verify(canary)


@pytest.mark.parametrize("mode", ["canary", "ab", "shadow"])
def test_what_the_evidence_forbids_does_not_roll_out(
    deployer: SeldonClusterModelDeployer, stub: KubernetesStub, registry: Registry, first: Arm, mode: Mode
) -> None:
    """Refused, edited, unapproved, rejected: no canary, no arm, no shadow; the resource is untouched."""
    refused = registry.register(71, accuracy=0.5)
    edited = refused.model_copy(update={"verdict": make_verdict(refused.model_digest, accuracy=0.9)})
    unapproved, rejected = registry.register(72), registry.register(73, approved=True)
    registry.client.set_model_version_tag(MODEL_NAME, str(rejected.version), "decision", "rejected by Ada")
    live = deployer.apply(release_of(first, "production"))
    before = stub.resource(PRODUCTION)
    for arm in (refused, edited, unapproved, rejected):
        with pytest.raises(Refused):
            deployer.apply(beside(arm, first, mode, environment="production"))
    assert stub.resource(PRODUCTION) == before
    assert deployer.rolling_out(MODEL_NAME, "production") is None
    assert answering_version(live.url) == str(first.version)


def test_a_rollout_needs_the_champion_that_it_was_proposed_beside_and_its_turn(
    deployer: SeldonClusterModelDeployer, stub: KubernetesStub, registry: Registry, first: Arm, second: Arm
) -> None:
    """No champion, another one, another candidate, a share that nobody can give: nothing is changed."""
    with pytest.raises(Refused, match="Nothing is live in staging"):
        deployer.apply(beside(second, None))
    assert stub.ask("GET", SELDON_PATH)["items"] == []
    deployer.apply(release_of(first))
    third = registry.register(74)
    before = stub.resource(STAGING)
    with pytest.raises(Refused, match=f"beside version {third.version}; now version {first.version} is live"):
        deployer.apply(beside(second, third))
    with pytest.raises(UsageError, match="no whole percent"):
        deployer.apply(beside(second, first, share=0.125))
    with pytest.raises(UsageError, match="cannot have the share 1"):
        deployer.apply(beside(second, first, share=1.0))
    assert stub.resource(STAGING) == before
    canary = deployer.apply(beside(second, first))
    before = stub.resource(STAGING)["spec"]
    for other in (beside(third, first), release_of(third, champion=first)):
        with pytest.raises(Refused, match=rf"Version {second.version} is rolling out in staging"):
            deployer.apply(other)
    assert not deployer.end_rollout(beside(third, first))
    assert not deployer.end_rollout(canary.model_copy(update={"rollout": "another attempt"}))
    assert stub.resource(STAGING)["spec"] == before
    assert deployer.rolling_out(MODEL_NAME, "staging") == canary


def test_a_candidate_that_never_gets_ready_leaves_the_champion_alone(
    make_deployer: MakeDeployer, stub: KubernetesStub, first: Arm, second: Arm
) -> None:
    """It has no traffic while it comes up, and is gone when it did not."""
    deployer = make_deployer()
    live = deployer.apply(release_of(first))
    before, pods = stub.resource(STAGING)["spec"], stub.pods()
    never = make_deployer(image="registry.example/never-ready:2", ready_timeout_s=1.5)
    with pytest.raises(NeverReady, match=rf"version {first.version} serves on: pod .*ImagePullBackOff"):
        never.apply(beside(second, first))
    assert stub.resource(STAGING)["spec"] == before
    wait_for(lambda: stub.pods() == pods)
    assert deployer.rolling_out(MODEL_NAME, "staging") is None
    assert deployer.verify(live)


@pytest.mark.parametrize("comes_up", [True, False])
def test_a_rollout_whose_command_was_killed_is_concluded_or_undone(
    make_deployer: MakeDeployer,
    stub: KubernetesStub,
    first: Arm,
    second: Arm,
    monkeypatch: pytest.MonkeyPatch,
    comes_up: bool,
) -> None:
    """The next look finds it pending: rolling out where the candidate answers, as before where not."""
    deployer = make_deployer()
    live = deployer.apply(release_of(first))
    settings = {} if comes_up else {"image": "registry.example/never-ready:2"}

    def killed(*_: object) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Rollout, "_bring_up", killed)
        patched.setattr(Rollout, "_end", lambda *_: None)
        with pytest.raises(Killed):
            make_deployer(**settings).apply(beside(second, first))
    assert "shutterline/pending" in stub.resource(STAGING)["metadata"]["annotations"]
    if comes_up:
        wait_for(lambda: stub.resource(STAGING)["status"]["state"] == "Available")
        wait_for(lambda: deployer.rolling_out(MODEL_NAME, "staging") is not None)
        rolling = deployer.rolling_out(MODEL_NAME, "staging")
        assert rolling is not None
        assert (rolling.status, rolling.candidate) == ("rolling_out", second)
        assert deployer.verify(rolling)
    else:
        assert deployer.rolling_out(MODEL_NAME, "staging") is None
        monkeypatch.setattr(rollout_module, "DEAD_AFTER_S", -1)
        assert deployer.rolling_out(MODEL_NAME, "staging") is None
        assert traffic(stub) == {predictor_name(first): (100, False)}
    assert "shutterline/pending" not in stub.resource(STAGING)["metadata"]["annotations"]
    assert deployer.current(MODEL_NAME, "staging") == live


def test_a_candidate_that_was_changed_past_the_deployer_is_not_healthy(
    deployer: SeldonClusterModelDeployer, stub: KubernetesStub, first: Arm, second: Arm
) -> None:
    """Another share, or another image of either version: it is not what was released; applied anew, it is."""
    live = deployer.apply(release_of(first))
    canary = deployer.apply(beside(second, first))
    resource = stub.resource(STAGING)
    resource["spec"]["predictors"][0]["traffic"] = 50
    resource["spec"]["predictors"][1]["traffic"] = 50
    stub.ask("PUT", f"{SELDON_PATH}/{STAGING}", resource)
    assert not deployer.healthy(canary)
    assert not deployer.verify(canary)
    assert not deployer.healthy(live)
    assert deployer.apply(beside(second, first)) == canary
    assert traffic(stub)[predictor_name(second)] == (10, False)
    assert deployer.healthy(canary) and deployer.healthy(live)


def test_a_rollback_waits_for_the_end_of_a_rollout(
    deployer: SeldonClusterModelDeployer, stub: KubernetesStub, registry: Registry, first: Arm, second: Arm
) -> None:
    """Only what is live can be brought up again, beside its candidate."""
    was = deployer.apply(release_of(first))
    live = deployer.apply(release_of(second))
    third = registry.register(75)
    canary = deployer.apply(beside(third, second))
    before = stub.resource(STAGING)["spec"]
    with pytest.raises(Refused, match=rf"Version {third.version} is rolling out .*python run\.py --rollback"):
        deployer.restore(was)
    assert stub.resource(STAGING)["spec"] == before
    assert deployer.restore(live) == live
    run_something_else(stub)
    assert deployer.restore(live) == live
    assert programs(stub.resource(STAGING)["spec"]) == programs(before)
    assert deployer.rolling_out(MODEL_NAME, "staging") == canary
    assert deployer.healthy(live) and deployer.healthy(canary)


def run_something_else(stub: KubernetesStub) -> None:
    """Have the champion run another image, past the deployer: what is live has to come up again."""
    resource = stub.resource(STAGING)
    [container] = resource["spec"]["predictors"][0]["componentSpecs"][0]["spec"]["containers"]
    container["image"] = "elsewhere.example/foreign:1"
    stub.ask("PUT", f"{SELDON_PATH}/{STAGING}", resource)


def test_what_is_live_comes_up_again_beside_its_candidate_without_the_registry(
    deployer: SeldonClusterModelDeployer,
    stub: KubernetesStub,
    first: Arm,
    second: Arm,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both on what was pinned when they were verified; alone once the log says that it was rejected."""
    live = deployer.apply(release_of(first))
    canary = deployer.apply(beside(second, first))
    before = stub.resource(STAGING)["spec"]
    run_something_else(stub)

    registry_is_down(monkeypatch)
    assert deployer.restore(live) == live
    assert programs(stub.resource(STAGING)["spec"]) == programs(before)
    assert deployer.rolling_out(MODEL_NAME, "staging") == canary
    assert deployer.healthy(live) and deployer.healthy(canary)
    run_something_else(stub)
    with rejected_in_the_log(second):
        assert deployer.restore(live) == live
    assert traffic(stub) == {predictor_name(first): (100, False)}
    assert deployer.rolling_out(MODEL_NAME, "staging") is None


@pytest.mark.parametrize(("act", "seed"), [("restore", 76), ("apply", 77)])
def test_what_is_live_comes_up_again_alone_where_its_candidate_was_rejected(
    deployer: SeldonClusterModelDeployer,
    stub: KubernetesStub,
    registry: Registry,
    first: Arm,
    caplog: pytest.LogCaptureFixture,
    act: str,
    seed: int,
) -> None:
    """The candidate keeps nobody from it: its rollout ends, which is said, and nothing of it is left."""
    candidate = registry.register(seed)
    live = deployer.apply(release_of(first))
    deployer.apply(beside(candidate, first))
    registry.client.set_model_version_tag(MODEL_NAME, str(candidate.version), "decision", "rejected by Ada")
    run_something_else(stub)
    again = deployer.restore(live) if act == "restore" else deployer.apply(release_of(first))
    assert again == live
    assert traffic(stub) == {predictor_name(first): (100, False)}
    assert deployer.rolling_out(MODEL_NAME, "staging") is None
    wait_for(lambda: pod_of(stub, candidate) == [])
    assert deployer.verify(live)
    assert f"The rollout of version {candidate.version} in staging ends" in caplog.text
    assert "rejected by Ada" in caplog.text


def ask_by_key(url: str | None, key: str) -> str:
    """The version that answers a request with this key."""
    assert url
    return probing.predict(through_ingress(url, SERVICE_TOKEN), url, headers={"x-request-key": key})


def test_an_ab_test_keeps_each_key_with_its_version_from_its_begin_to_its_end(
    deployer: SeldonClusterModelDeployer, stub: KubernetesStub, first: Arm, second: Arm
) -> None:
    """Our router behind Seldon's engine; no request fails while predictors come and go; the URL stays."""
    live = deployer.apply(release_of(first))
    keys = [f"customer-{number}" for number in range(60)]
    with Asking(str(live.url)) as asking:
        test = deployer.apply(beside(second, first, "ab"))
        assert (test.status, test.url, test.share) == ("rolling_out", live.url, 0.2)
        assert list(traffic(stub).values()) == [(100, False)]
        assert deployer.healthy(test) and deployer.verify(test)
        assert deployer.healthy(live) and deployer.verify(live)
        chosen = {key: ask_by_key(live.url, key) for key in keys}
        wanted = {True: str(second.version), False: str(first.version)}
        assert chosen == {key: wanted[place_of(key) < 0.2] for key in keys}
        assert set(chosen.values()) == set(wanted.values())
        assert {key: ask_by_key(live.url, key) for key in keys} == chosen

        wider = deployer.apply(beside(second, first, "ab", share=0.5, stage=1))
        assert wider.rollout == test.rollout
        wait_for(lambda: deployer.verify(wider))
        wait_for(lambda: stub.resource(STAGING)["status"]["state"] == "Available")
        wait_for(lambda: len(stub.pods()) == 3)
        after = {key: ask_by_key(live.url, key) for key in keys}
        assert after == {key: wanted[place_of(key) < 0.5] for key in keys}

        assert deployer.end_rollout(wider)
        wait_for(lambda: deployer.verify(live))
    assert asking.failures == []
    assert traffic(stub) == {predictor_name(first): (100, False)}
    assert set(ask_by_key(live.url, key) for key in keys) == {str(first.version)}
    assert deployer.rolling_out(MODEL_NAME, "staging") is None


def test_what_won_an_ab_test_goes_live(
    deployer: SeldonClusterModelDeployer, stub: KubernetesStub, first: Arm, second: Arm
) -> None:
    """With a predictor of its own, once that is up."""
    live = deployer.apply(release_of(first))
    deployer.apply(beside(second, first, "ab"))
    with Asking(str(live.url)) as asking:
        promoted = deployer.apply(release_of(second, champion=first))
    assert asking.failures == []
    assert traffic(stub) == {predictor_name(second): (100, False)}
    assert deployer.verify(promoted)
    assert deployer.previous(MODEL_NAME, "staging") == live


def test_nobody_without_the_token_gets_an_answer(
    deployer: SeldonClusterModelDeployer, stub: KubernetesStub, first: Arm
) -> None:
    """Health is open; the deployer's own client shows the token."""
    live = deployer.apply(release_of(first))
    url = str(live.url)
    with through_ingress(url)() as stranger:
        assert stranger.get(f"{url.removesuffix('/api/v1.0/predictions')}/health/status").status_code == 200
        assert stranger.post(url, json={}).status_code == 401
    with deployer.connect(live) as known:
        assert known.post(url, json={}).status_code == 400


def test_another_interface_follows_what_is_live(
    make_deployer: MakeDeployer, stub: KubernetesStub, first: Arm, second: Arm
) -> None:
    """A resource of its own, for which nobody waits; no candidate has one, and nothing of it is left."""
    deployer, name = make_deployer(staging={"interfaces": ["rest", "grpc"]}), f"{STAGING}-grpc"
    deployer.apply(release_of(first))
    assert list(traffic(stub, name)) == [predictor_name(first)]
    assert [one.candidate for one in deployer.live()] == [first]
    deployer.apply(beside(second, first, "shadow"))
    assert list(traffic(stub, name)) == [predictor_name(first)]
    deployer.apply(release_of(second, champion=first))
    assert list(traffic(stub, name)) == [predictor_name(second)]
    deployer.stop()
    assert (stub.ask("GET", SELDON_PATH)["items"], stub.pods()) == ([], [])


@pytest.mark.parametrize("act", ["release", "rollback"])
def test_an_interface_that_a_killed_command_left_behind_follows_with_the_next_one(
    make_deployer: MakeDeployer, stub: KubernetesStub, first: Arm, second: Arm, act: str
) -> None:
    """Killed once the other version is live: it is told, put right by any command, and then in order."""
    deployer, name = make_deployer(staging={"interfaces": ["rest", "grpc"]}), f"{STAGING}-grpc"
    was = deployer.apply(release_of(first))
    before, after = first, second
    if act == "rollback":
        deployer.apply(release_of(second))
        before, after = second, first

    def killed(*_: object) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Interfaces, "follow", killed)
        with pytest.raises(Killed):
            deployer.apply(release_of(second)) if act == "release" else deployer.restore(was)
    now = deployer.current(MODEL_NAME, "staging")
    assert now is not None
    assert now.candidate == after
    assert list(traffic(stub, name)) == [predictor_name(before)]
    [fault] = deployer.faults(MODEL_NAME)
    assert f"SeldonDeployment {name} does not run version {after.version}" in fault
    assert deployer.live() == [now]
    assert list(traffic(stub, name)) == [predictor_name(after)]
    wait_for(lambda: deployer.faults(MODEL_NAME) == [], within_s=90)


def test_a_withdrawn_version_is_gone_from_every_interface_before_it_is_from_rest(
    make_deployer: MakeDeployer, stub: KubernetesStub, first: Arm
) -> None:
    """Killed right after, nothing of it is left; killed in between, the next command has it answer again."""
    deployer, name = make_deployer(staging={"interfaces": ["rest", "grpc"]}), f"{STAGING}-grpc"
    live = deployer.apply(release_of(first))

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Store, "remove", killed)
        with pytest.raises(Killed):
            deployer.withdraw(live)
    assert [one["metadata"]["name"] for one in stub.ask("GET", SELDON_PATH)["items"]] == [STAGING]
    assert deployer.live() == [live]
    assert list(traffic(stub, name)) == [predictor_name(first)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Store, "wait_until_gone", killed)
        with pytest.raises(Killed):
            deployer.withdraw(live)
    assert stub.ask("GET", SELDON_PATH)["items"] == []
    wait_for(lambda: stub.pods() == [])


def test_nothing_is_released_whose_interface_has_somebody_elses_name(
    make_deployer: MakeDeployer, stub: KubernetesStub, first: Arm
) -> None:
    """Said before anything is begun."""
    deployer, name = make_deployer(staging={"interfaces": ["rest", "grpc"]}), f"{STAGING}-grpc"
    make_deployer().apply(release_of(first, "production"))
    theirs = {**stub.resource(PRODUCTION), "metadata": {"name": name}}
    stub.ask("POST", SELDON_PATH, theirs)
    with pytest.raises(UsageError, match=f"SeldonDeployment {name} .* was not made by this deployer"):
        deployer.apply(release_of(first))
    assert deployer.current(MODEL_NAME, "staging") is None
    assert deployer.previous(MODEL_NAME, "staging") is None
