"""What may be served on a cluster, and how it changes, with real serving processes behind the stub."""

from __future__ import annotations

import itertools
import json
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest

from actions.stop import stop
from materializers.errors import Refused, ServiceFailed, ServiceUnreachable
from materializers.release import Arm, Release
from stacks import probing
from stacks.seldon_deployer import rollout as rollout_module
from stacks.seldon_deployer.asking import through_ingress
from stacks.seldon_deployer.deployer import SeldonClusterModelDeployer
from stacks.seldon_deployer.manifest import programs
from stacks.seldon_deployer.rollout import Rollout
from stacks.seldon_deployer.state import History, Kept
from stacks.served import Entry
from steps.monitoring.traffic.captures import read_captures
from tests.bucket import BUCKET, BucketServer
from tests.kubeflow.seldon_deployer.conftest import IMAGE, MakeDeployer, wait_for
from tests.remote.seldon_stub import (
    CORE_PATH,
    SELDON_PATH,
    SERVICE_TOKEN,
    TOKEN,
    KubernetesStub,
    kubernetes_stub,
)
from tests.shrunk.delivery import PROJECT
from tests.stacks.local_deployer.conftest import (
    MODEL_NAME,
    Registry,
    make_verdict,
    registry_is_down,
    rejected_in_the_log,
    release_of,
)

PHOTOS = PROJECT / "data" / "photos"
STAGING, PRODUCTION = f"staging-{MODEL_NAME}", f"production-{MODEL_NAME}"


def answering_version(url: str | None) -> str:
    """The version that classifies a picture at a release's URL."""
    assert url
    return probing.predict(through_ingress(url, SERVICE_TOKEN), url)


def ask_with_id(deployer: SeldonClusterModelDeployer, release: Release) -> str:
    """Have a release classify a picture; the request's id."""
    request_id = uuid4().hex
    headers = {"content-type": "application/octet-stream", "x-request-id": request_id}
    with deployer.connect(release) as client:
        answer = client.post(str(release.url), content=(PHOTOS / "bag.png").read_bytes(), headers=headers)
    assert answer.json()["jsonData"]["request_id"] == request_id
    return request_id


def least_replicas(stub: KubernetesStub) -> int:
    """Below how many production does not fall."""
    [predictor] = stub.resource(PRODUCTION)["spec"]["predictors"]
    return int(predictor["componentSpecs"][0]["hpaSpec"]["minReplicas"])


def annotated(stub: KubernetesStub, name: str, kind: str) -> Any:
    """One of our annotations."""
    text = stub.resource(name)["metadata"]["annotations"].get(f"shutterline/{kind}")
    return text and json.loads(text)


class Asking(threading.Thread):
    """Asks for predictions again and again."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url, self.answers, self.failures = url, list[str](), list[str]()
        self._ends = threading.Event()

    def run(self) -> None:
        """Ask until told to end."""
        while not self._ends.wait(0.02):
            try:
                self.answers.append(answering_version(self.url))
            except probing.NO_PREDICTION as error:
                self.failures.append(repr(error))

    def __enter__(self) -> Asking:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ends.set()
        self.join()


class Killed(BaseException):
    """What stands for a SIGKILL: nothing of the command runs after it."""


def leave_pending(deployer: SeldonClusterModelDeployer, coming: Arm) -> None:
    """Begin to bring a version up, and let the command be killed before it looks whether it came."""

    def killed(*_: object) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Rollout, "_bring_up", killed)
        patched.setattr(Rollout, "_end", lambda *_: None)
        with pytest.raises(Killed):
            deployer.apply(release_of(coming))


def test_a_release_comes_up_is_replaced_and_rolled_back_at_one_url(
    deployer: SeldonClusterModelDeployer, stub: KubernetesStub, first: Arm, second: Arm
) -> None:
    """No request fails on the way; the start with 3 replicas ends with the record."""
    assert deployer.current(MODEL_NAME, "production") is None
    one = deployer.apply(release_of(first, "production"))
    assert (one.status, one.recorded) == ("live", False)
    assert one.url == f"{stub.ingress_url}/seldon/shutterline/{PRODUCTION}/api/v1.0/predictions"
    assert answering_version(one.url) == str(first.version)
    assert deployer.healthy(one)
    assert deployer.verify(one)
    assert deployer.live() == [one] == [deployer.current(MODEL_NAME, "production")]
    assert deployer.previous(MODEL_NAME, "production") is None
    assert annotated(stub, PRODUCTION, "live")["model_digest"] == first.model_digest
    assert annotated(stub, PRODUCTION, "pending") is None

    pods, specification = stub.pods(), stub.resource(PRODUCTION)["spec"]
    again = deployer.apply(one)
    assert (again, stub.pods(), stub.resource(PRODUCTION)["spec"]) == (one, pods, specification)
    assert least_replicas(stub) == 3
    assert deployer.mark_recorded(one)
    recorded = one.model_copy(update={"recorded": True})
    assert deployer.current(MODEL_NAME, "production") == recorded
    assert (stub.pods(), least_replicas(stub)) == (pods, 2)

    with Asking(str(one.url)) as asking:
        two = deployer.apply(release_of(second, "production", champion=first))
        assert (two.url, answering_version(two.url)) == (one.url, str(second.version))
        assert least_replicas(stub) == 3
        assert deployer.previous(MODEL_NAME, "production") == recorded
        assert not deployer.mark_recorded(one)
        assert not deployer.withdraw(one)
        back = deployer.restore(recorded)
        assert (back.url, answering_version(back.url)) == (one.url, str(first.version))
    assert asking.failures == []
    in_turn = [version for version, _ in itertools.groupby(asking.answers)]
    assert in_turn == [str(first.version), str(second.version), str(first.version)]
    assert deployer.previous(MODEL_NAME, "production") is None
    [service] = deployer.find_model_server()
    assert service.is_running
    assert service.config.model_version == str(first.version)


def test_what_was_proposed_beside_another_champion_is_not_released(
    deployer: SeldonClusterModelDeployer, stub: KubernetesStub, first: Arm, second: Arm
) -> None:
    """Two promotions that were proposed while nothing was live: the first wins, the other is told."""
    deployer.apply(release_of(first, "production"))
    before = stub.resource(PRODUCTION)
    with pytest.raises(Refused, match=r"with nothing live; now version .* another command was faster"):
        deployer.apply(release_of(second, "production"))
    assert stub.resource(PRODUCTION) == before


def test_what_the_evidence_forbids_changes_nothing(
    deployer: SeldonClusterModelDeployer,
    stub: KubernetesStub,
    registry: Registry,
    bucket_server: BucketServer,
    first: Arm,
    second: Arm,
) -> None:
    """Refused, edited, changed, unapproved, rejected: neither applied nor put back, whatever is live."""
    refused = registry.register(11, accuracy=0.5)
    edited = refused.model_copy(update={"verdict": make_verdict(refused.model_digest, accuracy=0.9)})
    foreign = second.model_copy(update={"verdict": first.verdict})
    unapproved, rejected, changed = (
        registry.register(12),
        registry.register(13, approved=True),
        registry.register(14),
    )
    key = f"{changed.model_uri.removeprefix(f's3://{BUCKET}/')}/model.onnx"
    content = bytearray(bucket_server.client.get_object(Bucket=BUCKET, Key=key)["Body"].read())
    content[len(content) // 2] ^= 1
    bucket_server.client.put_object(Bucket=BUCKET, Key=key, Body=bytes(content))
    registry.client.set_model_version_tag(MODEL_NAME, str(rejected.version), "decision", "rejected by Ada")
    bad = [refused, edited, foreign, unapproved, rejected, changed]
    for arm in bad:
        with pytest.raises(Refused):
            deployer.apply(release_of(arm, "production"))
    assert stub.ask("GET", SELDON_PATH)["items"] == []
    live = deployer.apply(release_of(first, "production"))
    before = stub.resource(PRODUCTION)
    for arm in bad:
        with pytest.raises(Refused):
            deployer.apply(release_of(arm, "production", champion=first))
        with pytest.raises(Refused):
            deployer.restore(release_of(arm, "production"))
    assert stub.resource(PRODUCTION) == before
    assert answering_version(live.url) == str(first.version)


def test_what_was_altered_since_is_not_put_back(
    deployer: SeldonClusterModelDeployer,
    registry: Registry,
    bucket_server: BucketServer,
    second: Arm,
) -> None:
    """Another model in the bucket, or another verdict: the version that was live stays away."""
    first = registry.register(21)
    was = deployer.apply(release_of(first))
    live = deployer.apply(release_of(second))
    verdict = first.verdict.model_copy(update={"compared": "lower bound"})
    other_verdict = was.model_copy(update={"candidate": first.model_copy(update={"verdict": verdict})})
    with pytest.raises(Refused, match="verdict"):
        deployer.restore(other_verdict)
    key = f"{first.model_uri.removeprefix(f's3://{BUCKET}/')}/metadata.json"
    content = bucket_server.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    bucket_server.client.put_object(Bucket=BUCKET, Key=key, Body=content + b" ")
    with pytest.raises(Refused, match="altered"):
        deployer.restore(was)
    assert answering_version(live.url) == str(second.version)


def test_a_kept_specification_that_was_altered_starts_nothing_foreign(
    make_deployer: MakeDeployer, stub: KubernetesStub, first: Arm, second: Arm
) -> None:
    """The version comes back under today's settings, as its record does; an older image of ours may stay."""
    deployer = make_deployer()
    was = deployer.apply(release_of(first))
    deployer.apply(release_of(second))
    resource = stub.resource(STAGING)
    history = annotated(stub, STAGING, "history")
    foreign = json.dumps(history["releases"][0]["specification"])
    for ours, others in (
        (IMAGE, "elsewhere.example/foreign:1"),
        ("serving.launcher", "foreign.launcher"),
        (first.model_digest, second.model_digest),
        ("rclone/rclone", "elsewhere.example/rclone"),
    ):
        assert ours in foreign
        foreign = foreign.replace(ours, others)
    history["releases"][0]["specification"] = json.loads(foreign)
    resource["metadata"]["annotations"]["shutterline/history"] = json.dumps(history)
    stub.ask("PUT", f"{SELDON_PATH}/{STAGING}", resource)
    back = deployer.restore(was)
    assert answering_version(back.url) == str(first.version)
    served, kept = json.dumps(stub.resource(STAGING)["spec"]), annotated(stub, STAGING, "live")
    for specification in (served, json.dumps(kept["specification"])):
        assert "foreign" not in specification and "elsewhere" not in specification
        assert first.model_digest in specification and second.model_digest not in specification

    newer = make_deployer(image=f"{IMAGE}.1")
    newer.apply(release_of(second))
    newer.restore(back)
    [predictor] = stub.resource(STAGING)["spec"]["predictors"]
    assert predictor["componentSpecs"][0]["spec"]["containers"][0]["image"] == IMAGE


def test_a_record_starts_nothing_foreign(
    deployer: SeldonClusterModelDeployer, stub: KubernetesStub, first: Arm
) -> None:
    """With the record fewer replicas suffice; what is kept is altered, so what serves stays as it is."""
    one = deployer.apply(release_of(first, "production"))
    resource, kept = stub.resource(PRODUCTION), annotated(stub, PRODUCTION, "live")
    foreign = json.dumps(kept).replace(IMAGE, "elsewhere.example/foreign:1")
    resource["metadata"]["annotations"]["shutterline/live"] = foreign
    stub.ask("PUT", f"{SELDON_PATH}/{PRODUCTION}", resource)
    assert deployer.mark_recorded(one)
    assert stub.resource(PRODUCTION)["spec"] == resource["spec"]
    assert deployer.current(MODEL_NAME, "production") == one.model_copy(update={"recorded": True})


def test_a_version_that_never_gets_ready_leaves_the_old_one_serving(
    make_deployer: MakeDeployer, stub: KubernetesStub, first: Arm, second: Arm
) -> None:
    """The pod's own reason is told: an image that cannot be pulled, a secret that opens no bucket."""
    deployer = make_deployer()
    stub.keep_secret("wrong", {"AWS_ACCESS_KEY_ID": "shutterline", "AWS_SECRET_ACCESS_KEY": "another"})
    never = make_deployer(image="registry.example/never-ready:2", ready_timeout_s=1.5)
    with pytest.raises(ServiceFailed, match=r"nothing is served there: pod .*ImagePullBackOff.*never-ready"):
        never.apply(release_of(first))
    wait_for(lambda: stub.pods() == [])
    assert never.current(MODEL_NAME, "staging") is None

    live = deployer.apply(release_of(first))
    before, pods = stub.resource(STAGING)["spec"], stub.pods()
    with pytest.raises(ServiceFailed, match=rf"version {first.version} serves on: pod .*ImagePullBackOff"):
        never.apply(release_of(second))
    shut_out = make_deployer(s3_secret="wrong", ready_timeout_s=4)
    with pytest.raises(
        ServiceFailed, match=r"fetch-model ended with 1: .*(403|Forbidden|SignatureDoesNotMatch)"
    ):
        shut_out.apply(release_of(second))
    assert stub.resource(STAGING)["spec"] == before
    wait_for(lambda: stub.pods() == pods)
    assert answering_version(live.url) == str(first.version)
    assert deployer.current(MODEL_NAME, "staging") == live
    assert deployer.previous(MODEL_NAME, "staging") is None


def test_a_model_that_is_not_the_pinned_one_is_never_served(
    make_deployer: MakeDeployer,
    stub: KubernetesStub,
    registry: Registry,
    bucket_server: BucketServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Changed after the deployer looked at it: the serving process recomputes the digest and ends."""
    arm = registry.register(31)
    deployer = make_deployer(ready_timeout_s=8)
    key = f"{arm.model_uri.removeprefix(f's3://{BUCKET}/')}/metadata.json"
    content = bucket_server.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    verified = rollout_module.Rollout.roll_out

    def change_after_the_check(*args: Any, **settings: Any) -> Any:
        bucket_server.client.put_object(Bucket=BUCKET, Key=key, Body=content + b" ")
        return verified(*args, **settings)

    monkeypatch.setattr(Rollout, "roll_out", change_after_the_check)
    with pytest.raises(ServiceFailed, match=r"classifier ended with \d+: .*digest"):
        deployer.apply(release_of(arm))
    assert deployer.live() == []


FOREIGN: dict[str, Any] = {
    "image": "elsewhere.example/foreign:1",
    "args": ["--host", "elsewhere.example"],
    "envFrom": [{"configMapRef": {"name": "elsewhere"}}],
    "lifecycle": {"postStart": {"exec": {"command": ["python", "-m", "elsewhere"]}}},
}


@pytest.mark.parametrize("change", FOREIGN)
def test_what_was_changed_past_the_deployer_is_not_healthy_and_a_release_mends_it(
    deployer: SeldonClusterModelDeployer, stub: KubernetesStub, first: Arm, change: str
) -> None:
    """Whatever answers there, it is not what was released: applied once more, it is."""
    live = deployer.apply(release_of(first))
    resource = stub.resource(STAGING)
    before = programs(resource["spec"])
    [container] = resource["spec"]["predictors"][0]["componentSpecs"][0]["spec"]["containers"]
    container[change] = FOREIGN[change]
    stub.ask("PUT", f"{SELDON_PATH}/{STAGING}", resource)
    assert not deployer.healthy(live)
    assert not deployer.verify(live)
    again = deployer.apply(release_of(first))
    wait_for(lambda: deployer.verify(again))
    assert programs(stub.resource(STAGING)["spec"]) == before


def test_what_a_forged_history_says_was_live_is_not_put_back(
    deployer: SeldonClusterModelDeployer, stub: KubernetesStub, registry: Registry, first: Arm, second: Arm
) -> None:
    """A refused version written into the annotations, with a verdict that says yes: the registry knows."""
    was = deployer.apply(release_of(first))
    live = deployer.apply(release_of(second))
    refused = registry.register(51, accuracy=0.5)
    yes = make_verdict(refused.model_digest, accuracy=0.9)
    unknown = refused.model_copy(update={"version": 999, "verdict": yes})
    refusals = (
        (refused.model_copy(update={"verdict": yes}), "verdict"),
        (unknown, "registry knows no version 999"),
    )
    for arm, why in refusals:
        release = was.model_copy(update={"candidate": arm})
        forged = History(releases=(Kept(**dict(Entry.pin(release, arm)), specification=None),))
        resource = stub.resource(STAGING)
        resource["metadata"]["annotations"]["shutterline/history"] = forged.model_dump_json()
        stub.ask("PUT", f"{SELDON_PATH}/{STAGING}", resource)
        before = deployer.previous(MODEL_NAME, "staging")
        assert before == release
        with pytest.raises(Refused, match=why):
            deployer.restore(before)
        assert answering_version(live.url) == str(second.version)


@pytest.mark.parametrize("registry_is", ["up", "down"])
def test_what_the_log_says_was_rejected_is_not_brought_up(
    deployer: SeldonClusterModelDeployer,
    stub: KubernetesStub,
    first: Arm,
    second: Arm,
    monkeypatch: pytest.MonkeyPatch,
    registry_is: str,
) -> None:
    """Neither what is live and has to come up again nor what was before; nothing on the cluster changes."""
    before = deployer.apply(release_of(first))
    live = deployer.apply(release_of(second))
    if registry_is == "down":
        registry_is_down(monkeypatch)
    resource = stub.resource(STAGING)
    [container] = resource["spec"]["predictors"][0]["componentSpecs"][0]["spec"]["containers"]
    container["image"] = "elsewhere.example/foreign:1"
    stub.ask("PUT", f"{SELDON_PATH}/{STAGING}", resource)
    spec = stub.resource(STAGING)["spec"]
    for release, arm in ((before, first), (live, second)):
        with rejected_in_the_log(arm):
            with pytest.raises(Refused, match=r"was rejected by Bob \(the bags look wrong\), as entry"):
                deployer.restore(release)
            assert stub.resource(STAGING)["spec"] == spec
    assert deployer.restore(live).candidate == second


@pytest.mark.parametrize(
    ("seed", "somebody_else"),
    [
        (61, "made a ConfigMap"),
        (62, "rejected it"),
        (63, "altered what comes up"),
        (64, "rejected it, and the registry lost that"),
    ],
)
def test_a_change_that_is_found_pending_is_concluded_as_the_records_allow(
    deployer: SeldonClusterModelDeployer,
    stub: KubernetesStub,
    registry: Registry,
    first: Arm,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    somebody_else: str,
) -> None:
    """A ConfigMap of somebody else stays as it is; what was rejected or altered meanwhile never stays."""
    live, rejection = deployer.apply(release_of(first)), ExitStack()
    coming = registry.register(seed)
    leave_pending(deployer, coming)
    wait_for(lambda: answering_version(live.url) == str(coming.version))
    wait_for(lambda: stub.resource(STAGING)["status"]["state"] == "Available")
    config_map = {"metadata": {"name": STAGING}, "data": {"theirs": "1"}}
    if somebody_else == "made a ConfigMap":
        config_map = stub.ask("POST", f"{CORE_PATH}/configmaps", config_map)
    elif somebody_else == "rejected it":
        registry.client.set_model_version_tag(MODEL_NAME, str(coming.version), "decision", "rejected by Ada")
    elif somebody_else == "rejected it, and the registry lost that":
        rejection.enter_context(rejected_in_the_log(coming))
    else:
        resource = stub.resource(STAGING)
        [container] = resource["spec"]["predictors"][0]["componentSpecs"][0]["spec"]["containers"]
        container["image"] = "elsewhere.example/foreign:1"
        stub.ask("PUT", f"{SELDON_PATH}/{STAGING}", resource)
    monkeypatch.setattr(rollout_module, "DEAD_AFTER_S", -1)
    with rejection:
        now = deployer.current(MODEL_NAME, "staging")
    assert now is not None
    if somebody_else == "made a ConfigMap":
        assert now.candidate == coming
        assert stub.ask("GET", f"{CORE_PATH}/configmaps/{STAGING}") == config_map
    else:
        assert now == live
        wait_for(lambda: answering_version(live.url) == str(first.version))
    assert annotated(stub, STAGING, "pending") is None


@pytest.mark.parametrize("new_version_comes_up", [True, False])
def test_a_change_whose_command_was_killed_is_concluded_or_undone(
    make_deployer: MakeDeployer,
    stub: KubernetesStub,
    first: Arm,
    second: Arm,
    monkeypatch: pytest.MonkeyPatch,
    new_version_comes_up: bool,
) -> None:
    """The next look finds it pending: live where the new version serves, as before where it does not."""
    deployer = make_deployer()
    live = deployer.apply(release_of(first))
    settings = {} if new_version_comes_up else {"image": "registry.example/never-ready:2"}
    leave_pending(make_deployer(**settings), second)
    assert annotated(stub, STAGING, "pending")["coming"]["model_digest"] == second.model_digest
    if new_version_comes_up:
        wait_for(lambda: answering_version(live.url) == str(second.version))
        wait_for(lambda: stub.resource(STAGING)["status"]["state"] == "Available")
        now = deployer.current(MODEL_NAME, "staging")
        assert now is not None
        assert now.candidate == second
        assert deployer.previous(MODEL_NAME, "staging") == live
    else:
        # The command may still live: nothing is undone, and what is live is what it was.
        assert deployer.current(MODEL_NAME, "staging") == live
        assert annotated(stub, STAGING, "pending") is not None
        with pytest.raises(ServiceUnreachable, match="Another command is changing"):
            make_deployer(lock_timeout_s=0).apply(release_of(second))
        monkeypatch.setattr(rollout_module, "DEAD_AFTER_S", 0)
        time.sleep(1)  # the cluster's clock tells seconds
        assert deployer.current(MODEL_NAME, "staging") == live
        assert answering_version(live.url) == str(first.version)
    assert annotated(stub, STAGING, "pending") is None


def test_what_is_stopped_can_come_back(
    make_deployer: MakeDeployer, stub: KubernetesStub, first: Arm, second: Arm
) -> None:
    """No pod, resource or listed service is left; history stays, and what was withdrawn is not in it.

    What each pod answered is in the bucket, to the last request before its end.
    """
    deployer, begun = make_deployer(capture=True, capture_pictures=1.0), datetime.now(UTC)
    answered = [ask_with_id(deployer, deployer.apply(release_of(first)))]
    assert deployer.withdraw(deployer.apply(release_of(second)))
    assert (stub.pods(), deployer.live()) == ([], [])
    before = deployer.previous(MODEL_NAME, "staging")
    assert before is not None
    assert before.candidate == first
    back = deployer.restore(before)
    assert answering_version(back.url) == str(first.version)
    answered += [ask_with_id(deployer, back)]
    said = deployer.stop()
    assert [line.split(",")[0] for line in said] == [f"staging: {MODEL_NAME} version {first.version}"]
    assert (stub.pods(), stub.ask("GET", SELDON_PATH)["items"]) == ([], [])
    assert (deployer.live(), deployer.find_model_server(), deployer.stop()) == ([], [], [])
    assert not deployer.healthy(back)
    assert not deployer.mark_recorded(back)
    assert deployer.previous(MODEL_NAME, "staging") == back
    columns = ["request_id", "at", "model_version", "status", "picture"]
    captured = read_captures(MODEL_NAME, "staging", since=begun, columns=columns).set_index("request_id")
    rows = captured.loc[answered]
    assert set(rows["model_version"]) == {str(first.version)}
    assert set(rows["status"]) == {200}
    assert rows["picture"].notna().all()
    assert set(captured["model_version"]) == {str(first.version)}


def test_a_damaged_record_hides_nothing_and_keeps_nobody_from_stopping(
    deployer: SeldonClusterModelDeployer, stub: KubernetesStub, first: Arm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is changed while nobody can tell what is live, but for ``--stop``."""
    from materializers.errors import DamagedArtifact

    live = deployer.apply(release_of(first))
    resource = stub.resource(STAGING)
    resource["metadata"]["annotations"]["shutterline/live"] = "{}"
    stub.ask("PUT", f"{SELDON_PATH}/{STAGING}", resource)
    for look in (deployer.live, lambda: deployer.apply(release_of(first))):
        with pytest.raises(DamagedArtifact, match=r"python run\.py --stop"):
            look()
    with pytest.raises(DamagedArtifact):
        deployer.healthy(live)
    assert answering_version(live.url) == str(first.version)
    for module in ("actions.stop", "steps.deployment.rollout"):
        monkeypatch.setattr(f"{module}.active_deployer", lambda: deployer)
    stopped = stop(MODEL_NAME, by="Ada", reason="nobody can tell what is live")
    assert "no sound record" in stopped.reasons[0]
    assert stub.pods() == []
    kept = stub.ask("GET", f"{CORE_PATH}/configmaps/{STAGING}")["data"]["damaged"]
    assert json.loads(kept)["shutterline/live"] == "{}"


def test_a_cluster_that_cannot_be_asked_is_said_so(
    make_deployer: MakeDeployer, stub: KubernetesStub, first: Arm, tmp_path: Any
) -> None:
    """Down, a revoked token, a missing right, another's resource: one line, and what serves goes on."""
    deployer = make_deployer()
    with pytest.raises(ServiceUnreachable, match=r"401.*zenml secret update"):
        make_deployer(kubernetes_token="revoked").apply(release_of(first))
    with (
        kubernetes_stub(tmp_path / "denying", deny=("create:seldondeployments",)) as denying,
        pytest.raises(ServiceUnreachable, match=r"does not allow POST of seldondeployments.*403"),
    ):
        make_deployer(kubernetes_url=denying.url).apply(release_of(first))
    live = deployer.apply(release_of(first))
    children = psutil.Process(stub.process.pid).children(recursive=True) if stub.process else []
    assert children
    stub.stop()
    assert [child for child in children if child.is_running()] == []
    acts = (deployer.live, deployer.stop, partial(deployer.apply, live), partial(deployer.healthy, live))
    for act in acts:
        with pytest.raises(ServiceUnreachable, match="does not answer"):
            act()
    stub.start()
    wait_for(lambda: deployer.healthy(live))
    assert deployer.live() == [live]


def test_two_commands_do_not_undo_each_other(
    deployer: SeldonClusterModelDeployer, stub: KubernetesStub, first: Arm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another command changed meanwhile is read again; what is changed all the time is left."""
    live = deployer.apply(release_of(first))
    replace = httpx.Client.request
    meddled: list[int] = []

    def meddling(client: httpx.Client, method: str, url: Any, **options: Any) -> httpx.Response:
        if method == "PUT" and len(meddled) < limit:
            meddled.append(1)
            resource = stub.resource(STAGING)
            history = json.dumps({"format_version": 1, "releases": [], "forgotten": len(meddled)})
            resource["metadata"]["annotations"]["shutterline/history"] = history
            body = json.dumps(resource).encode()
            replace(
                client,
                "PUT",
                f"{stub.url}{SELDON_PATH}/{STAGING}",
                content=body,
                headers={"authorization": f"Bearer {TOKEN}"},
            ).raise_for_status()
        return replace(client, method, url, **options)

    monkeypatch.setattr(httpx.Client, "request", meddling)
    limit = 1
    assert deployer.mark_recorded(live)
    assert annotated(stub, STAGING, "history")["forgotten"] == 1
    current = deployer.current(MODEL_NAME, "staging")
    assert current is not None
    assert current.recorded
    limit = 1000
    with pytest.raises(ServiceUnreachable, match="Another command keeps changing"):
        deployer.mark_recorded(live.model_copy(update={"restored": True}))
    assert answering_version(live.url) == str(first.version)


def test_zenmls_generic_deploy_is_refused(deployer: SeldonClusterModelDeployer, stub: KubernetesStub) -> None:
    """A call that carries no verdict serves nothing."""
    from stacks.seldon_deployer.service import SeldonClusterService, SeldonClusterServiceConfig

    config = SeldonClusterServiceConfig(
        model_name=MODEL_NAME, environment="staging", model_digest="", replica="", base_url="", site=""
    )
    with pytest.raises(RuntimeError, match="with its verdict only"):
        deployer.deploy_model(config, SeldonClusterService.SERVICE_TYPE)
    assert stub.pods() == []
