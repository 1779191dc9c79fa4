"""gRPC and the v2 protocol: a resource of their own that follows what is live."""

from __future__ import annotations

from typing import Any

import pytest

from materializers.errors import UsageError
from materializers.release import Environment
from stacks.seldon_deployer.flavor import Interface, SeldonClusterModelDeployerConfig
from stacks.seldon_deployer.interfaces import EXTRA, follow, interface_specification
from stacks.seldon_deployer.manifest import MANAGED_BY, specification
from stacks.seldon_deployer.resource import PLURAL, Metadata, SeldonDeployment, webhook_problems
from stacks.seldon_deployer.rollout import Rollout
from stacks.seldon_deployer.state import State
from tests.remote.seldon_rules import refusals
from tests.remote.seldon_stub import NAMESPACE, SCHEMA
from tests.stacks.local_deployer.conftest import release_of
from tests.stacks.seldon_deployer.conftest import NAME, KeptObjects, kept
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


def with_interfaces(known: KeptObjects, **settings: Any) -> SeldonClusterModelDeployerConfig:
    return SeldonClusterModelDeployerConfig(**{**known.config.model_dump(), **settings})


def test_they_follow_what_is_live(kept_objects: KeptObjects) -> None:
    """Made with it, changed with it, gone with it; they are no release of their own."""
    store = Rollout(kept_objects.config).store
    known = with_interfaces(kept_objects, **ALL)
    names = [f"{NAME}-grpc", f"{NAME}-v2"]
    for version in (1, 2):
        follow(store, NAME, State(live=kept(version, kept_objects)), known)
        for name in names:
            spec = kept_objects.objects.get((PLURAL, NAMESPACE, name))["spec"]
            assert spec["predictors"][0]["name"] == f"v{version}-00000000"
    before = [kept_objects.objects.get((PLURAL, NAMESPACE, name)) for name in names]
    follow(store, NAME, State(live=kept(2, kept_objects)), known)
    assert [kept_objects.objects.get((PLURAL, NAMESPACE, name)) for name in names] == before
    assert store.names() == []
    fewer = with_interfaces(kept_objects, staging={"interfaces": ["rest", "grpc"]})
    follow(store, NAME, State(live=kept(2, kept_objects)), fewer)
    assert kept_objects.objects.find(PLURAL, NAMESPACE, names[1]) is None
    follow(store, NAME, State(), known)
    assert [kept_objects.objects.find(PLURAL, NAMESPACE, name) for name in names] == [None, None]
    follow(store, NAME, State(live=kept(1, kept_objects)), known)
    store.remove_interfaces(timeout_s=1)
    assert [kept_objects.objects.find(PLURAL, NAMESPACE, name) for name in names] == [None, None]


def test_what_somebody_else_made_stays(kept_objects: KeptObjects) -> None:
    """Under such a name: it is said, and neither changed nor deleted."""
    known, name = with_interfaces(kept_objects, **ALL), f"{NAME}-grpc"
    body = {"metadata": {"name": name}, "spec": made("grpc")["spec"]}
    there = kept_objects.objects.create((PLURAL, NAMESPACE, name), body)
    for state in (State(live=kept(1, kept_objects)), State()):
        with pytest.raises(UsageError, match=f"SeldonDeployment {name} .* was not made by this deployer"):
            follow(Rollout(known).store, NAME, state, known)
    assert kept_objects.objects.get((PLURAL, NAMESPACE, name)) == there
