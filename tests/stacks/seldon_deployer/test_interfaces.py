"""gRPC and the v2 protocol: a resource of their own that follows what is live."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from materializers.errors import UsageError
from materializers.release import Environment
from stacks.seldon_deployer import rollout as rollout_module
from stacks.seldon_deployer.flavor import Interface, SeldonClusterModelDeployerConfig
from stacks.seldon_deployer.interfaces import EXTRA, interface_specification
from stacks.seldon_deployer.manifest import MANAGED_BY, specification
from stacks.seldon_deployer.resource import PLURAL, Metadata, SeldonDeployment, webhook_problems
from stacks.seldon_deployer.rollout import Rollout
from stacks.seldon_deployer.state import Kept, Pending, State
from tests.remote.seldon_rules import refusals
from tests.remote.seldon_stub import NAMESPACE, SCHEMA
from tests.stacks.local_deployer.conftest import release_of
from tests.stacks.seldon_deployer.conftest import KEY, NAME, KeptObjects, kept
from tests.stacks.seldon_deployer.foreign import ELSEWHERE
from tests.stacks.seldon_deployer.test_manifest import ARM, config

EVERY = [(one, environment) for one in EXTRA for environment in ("staging", "production")]
ALL = {"staging": {"interfaces": ["rest", "grpc", "v2"]}, "v2_image": "registry.example/mlserver:1"}


def made(interface: Interface, environment: Environment = "staging", **settings: Any) -> dict[str, Any]:
    """As it is sent."""
    known = config(v2_image="registry.example/mlserver:1", **settings)
    spec = interface_specification(release_of(ARM, environment), interface, known)
    assert webhook_problems(spec) == []
    metadata = Metadata(name="a", namespace="b", labels=MANAGED_BY, annotations={})
    return SeldonDeployment(metadata=metadata, spec=spec).as_json()


@pytest.mark.parametrize(("interface", "environment"), EVERY)
def test_seldons_rules_take_it(interface: Interface, environment: Environment) -> None:
    """By the stub's rules; with autoscaling and with a fixed number of replicas."""
    fixed = {"production": {"autoscaling": None, "replicas": 4}}
    for settings in ({}, fixed):
        assert refusals(made(interface, environment, **settings), None) == []


@pytest.mark.shared_data
@pytest.mark.skipif(not SCHEMA.exists(), reason=f"there is no {SCHEMA}")
@pytest.mark.parametrize(("interface", "environment"), EVERY)
def test_seldons_schema_takes_it(interface: Interface, environment: Environment) -> None:
    """Every key is one that Seldon's resource definition knows."""
    assert refusals(made(interface, environment), SCHEMA) == []


def test_each_starts_its_own_process_with_the_same_model_and_token() -> None:
    """Only the launcher, the ports and the questions of the probes differ; nothing is captured there."""
    plain = config(capture=False)
    [rest] = specification(release_of(ARM), ARM, plain).predictors[0].component_specs[0].spec.containers
    grpc, v2 = (made(one)["spec"] for one in EXTRA)
    assert (grpc["transport"], grpc["protocol"]) == ("grpc", "seldon")
    assert (v2.get("transport"), v2["protocol"]) == (None, "v2")
    for spec, module, ready in (
        (grpc, "serving.grpc_launcher", {"path": "/health/status", "port": "metrics"}),
        (v2, "serving.mlserver.launcher", {"path": "/v2/health/ready", "port": "http"}),
    ):
        [container] = spec["predictors"][0]["componentSpecs"][0]["spec"]["containers"]
        assert container["command"] == ["python", "-m", module]
        assert tuple(container["args"][: len(rest.args)]) == rest.args
        assert container["readinessProbe"]["httpGet"] == ready


GRPC, V2 = f"{NAME}-grpc", f"{NAME}-v2"


@pytest.fixture
def rollout(kept_objects: KeptObjects) -> Rollout:
    """Of a deployer whose staging has every interface."""
    return rollout_with(kept_objects, **ALL)


def rollout_with(known: KeptObjects, **settings: Any) -> Rollout:
    return Rollout(SeldonClusterModelDeployerConfig(**{**known.config.model_dump(), **settings}))


def make_live(version: int, known: KeptObjects, rollout: Rollout) -> Kept:
    """What a command leaves that is killed once another version is live, before anything follows it."""
    live = kept(version, known)
    rollout.store.write(rollout.store.read(NAME), State(live=live), live.specification)
    return live


def found(known: KeptObjects, name: str) -> dict[str, Any]:
    return known.objects.get((PLURAL, NAMESPACE, name))


def serving(known: KeptObjects) -> dict[str, str]:
    """Which predictor each interface has, of those that are there."""
    there = {name: known.objects.find(PLURAL, NAMESPACE, name) for name in (GRPC, V2)}
    return {name: body["spec"]["predictors"][0]["name"] for name, body in there.items() if body}


def all_serve(version: int) -> dict[str, str]:
    return dict.fromkeys((GRPC, V2), f"v{version}-00000000")


def test_they_follow_what_is_live(kept_objects: KeptObjects, rollout: Rollout) -> None:
    """Made with it, changed with it, gone with it; they are no release of their own."""
    for version in (1, 2):
        assert rollout.interfaces.follow(NAME, kept(version, kept_objects)) == [GRPC, V2]
        assert serving(kept_objects) == all_serve(version)
    before = [found(kept_objects, name) for name in (GRPC, V2)]
    assert rollout.interfaces.follow(NAME, kept(2, kept_objects)) == []
    assert [found(kept_objects, name) for name in (GRPC, V2)] == before
    assert rollout.store.names() == []
    fewer = rollout_with(kept_objects, staging={"interfaces": ["rest", "grpc"]})
    assert fewer.interfaces.follow(NAME, kept(2, kept_objects)) == [V2]
    assert serving(kept_objects) == {GRPC: "v2-00000000"}
    assert rollout.interfaces.follow(NAME, None) == [GRPC]
    assert serving(kept_objects) == {}
    rollout.interfaces.follow(NAME, kept(1, kept_objects))
    rollout.store.remove_interfaces(timeout_s=1)
    assert serving(kept_objects) == {}


def test_who_looks_next_has_them_follow_whom_a_killed_command_left_behind(
    kept_objects: KeptObjects, rollout: Rollout
) -> None:
    """At the version before, at none, or at one that is not live any more; it is a fault until then."""
    for version in (1, 2):
        live = make_live(version, kept_objects, rollout)
        faults = list(rollout.interfaces.faults(NAME, live))
        assert len(faults) == 2
        assert f"SeldonDeployment {GRPC} does not run version {version}" in faults[0]
        assert f"python run.py --deploy --environment staging --version {version}" in faults[0]
        rollout.have_all_follow({NAME: live})
        assert serving(kept_objects) == all_serve(version)
        assert rollout.interfaces.behind({NAME: live}) == set()
    kept_objects.objects.delete(KEY, None)
    assert f"kubectl --namespace {NAMESPACE} delete seldondeployment {GRPC}" in next(
        rollout.interfaces.faults(NAME, None)
    )
    rollout.have_all_follow({})
    assert serving(kept_objects) == {}
    assert list(rollout.interfaces.faults(NAME, None)) == []


def test_whoever_finds_a_change_concluded_has_them_follow_it(
    kept_objects: KeptObjects, rollout: Rollout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command that began it was killed; a look at the one release is enough."""
    live = make_live(1, kept_objects, rollout)
    rollout.have_all_follow({NAME: live})
    coming = kept(2, kept_objects)
    held = rollout.store.read(NAME)
    pending = Pending(token="t", beat=rollout.store.cluster.now, coming=coming, past=1)
    rollout.store.write(held, held.state.begun(pending), coming.specification)
    # Nothing answers at the ingress of this test, and no registry knows of the version.
    monkeypatch.setattr(Rollout, "_is_up", lambda *_: True)
    monkeypatch.setattr(rollout_module, "may_stay", lambda *_: True)
    assert rollout.settled(NAME).state.live == coming
    assert serving(kept_objects) == all_serve(2)


def test_what_was_changed_past_the_deployer_is_a_fault_and_mended_with_the_next_release(
    kept_objects: KeptObjects, rollout: Rollout
) -> None:
    """Another image, though the annotation still says what was written."""
    live = make_live(1, kept_objects, rollout)
    rollout.follow(NAME)
    body = found(kept_objects, GRPC)
    body["spec"]["predictors"][0]["componentSpecs"][0]["spec"]["containers"][0]["image"] = ELSEWHERE
    kept_objects.objects.replace((PLURAL, NAMESPACE, GRPC), body)
    assert f"SeldonDeployment {GRPC} does not run version 1" in next(rollout.interfaces.faults(NAME, live))
    rollout.follow(NAME)
    assert ELSEWHERE not in json.dumps(found(kept_objects, GRPC))


def test_what_has_not_come_up_is_said(kept_objects: KeptObjects, rollout: Rollout) -> None:
    """Here no pod ever does."""
    live = make_live(1, kept_objects, rollout)
    rollout.follow(NAME)
    faults = list(rollout.interfaces.faults(NAME, live))
    assert faults[0] == f"SeldonDeployment {GRPC} does not answer yet: no pod was made for it"


def meddle(patch: pytest.MonkeyPatch, what: Callable[[], object], *, times: int) -> None:
    """Be another command, which does something just before this one writes an interface, so many times."""
    left, request = [what] * times, httpx.Client.request

    def meddling(client: httpx.Client, method: str, url: str, **options: Any) -> httpx.Response:
        written = (options.get("json") or {}).get("metadata", {}).get("name")
        if method in ("POST", "PUT") and written == GRPC and left:
            left.pop()()
        return request(client, method, url, **options)

    patch.setattr(httpx.Client, "request", meddling)


def test_a_conflict_is_tried_again_and_told_where_it_does_not_end(
    kept_objects: KeptObjects, rollout: Rollout, caplog: pytest.LogCaptureFixture
) -> None:
    """What is live stays so; who was in the way is not overwritten unseen."""
    make_live(1, kept_objects, rollout)
    rollout.follow(NAME)

    def touch() -> None:
        kept_objects.objects.replace((PLURAL, NAMESPACE, GRPC), found(kept_objects, GRPC))

    live = make_live(2, kept_objects, rollout)
    with pytest.MonkeyPatch.context() as patched:
        meddle(patched, touch, times=1000)
        rollout.follow(NAME)
        assert serving(kept_objects)[GRPC] == "v1-00000000"
        assert f"What else answers for {NAME} does not follow what is live there" in caplog.text
        assert "python run.py --status" in caplog.text
    assert rollout.store.read(NAME).state.live == live
    caplog.clear()
    with pytest.MonkeyPatch.context() as patched:
        meddle(patched, touch, times=1)
        rollout.follow(NAME)
    assert serving(kept_objects) == all_serve(2)
    assert "does not follow" not in caplog.text


def test_they_follow_what_another_command_makes_live_meanwhile(
    kept_objects: KeptObjects, rollout: Rollout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever writes last looks whether that is what is live, so that no late look puts a version back."""
    make_live(1, kept_objects, rollout)
    meddle(monkeypatch, lambda: make_live(2, kept_objects, rollout), times=1)
    rollout.follow(NAME)
    assert serving(kept_objects) == all_serve(2)


def test_they_are_gone_before_what_is_live_is_taken_down(
    kept_objects: KeptObjects, rollout: Rollout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in between, nothing answers by them, and nothing is left that nobody knows of."""
    make_live(1, kept_objects, rollout)
    rollout.follow(NAME)
    held = rollout.store.read(NAME)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(rollout.store, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            rollout.take_down(held, held.state.down(remember=False))
    assert serving(kept_objects) == {}
    assert kept_objects.objects.find(*KEY) is not None
    rollout.take_down(held, held.state.down(remember=False))
    assert kept_objects.objects.find(*KEY) is None


def test_what_somebody_else_made_stays(kept_objects: KeptObjects, rollout: Rollout) -> None:
    """Under such a name: it is said where the name is needed, and neither changed nor deleted."""
    body = {"metadata": {"name": GRPC}, "spec": made("grpc")["spec"]}
    there = kept_objects.objects.create((PLURAL, NAMESPACE, GRPC), body)
    live = kept(1, kept_objects)
    says = f"SeldonDeployment {GRPC} .* was not made by this deployer"
    with pytest.raises(UsageError, match=says):
        rollout.interfaces.follow(NAME, live)
    assert serving(kept_objects)[V2] == "v1-00000000"
    with pytest.raises(UsageError, match=says):
        rollout.interfaces.require_names(NAME, live.release)
    assert any(re.search(says, fault) for fault in rollout.interfaces.faults(NAME, live))
    rollout.interfaces.follow(NAME, None)
    assert found(kept_objects, GRPC) == there


def test_a_model_with_the_name_of_an_interface_keeps_it(kept_objects: KeptObjects, rollout: Rollout) -> None:
    """And the other way round: no model takes the place of an interface."""
    other = kept(1, kept_objects)
    there = rollout.store.write(rollout.store.read(GRPC), State(live=other), other.specification)
    with pytest.raises(UsageError, match=f"SeldonDeployment {GRPC} .* serves another model"):
        rollout.interfaces.follow(NAME, other)
    rollout.interfaces.follow(NAME, None)
    assert rollout.store.read(GRPC) == there
    rollout.store.remove(there, there.state.down(remember=False), timeout_s=1)
    rollout.interfaces.follow(NAME, other)
    with pytest.raises(UsageError, match=f"SeldonDeployment {GRPC} .* another name"):
        rollout.store.read(GRPC)
