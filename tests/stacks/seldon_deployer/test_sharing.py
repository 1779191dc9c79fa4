"""Two versions in one specification: every one that can be made passes Seldon's schema and rules."""

from __future__ import annotations

from typing import Any

import pytest

from materializers.errors import UsageError
from materializers.release import Arm, Environment, Mode, Release
from stacks.seldon_deployer.manifest import MANAGED_BY, predictor_name, programs, specification
from stacks.seldon_deployer.resource import Metadata, SeldonDeployment, Specification, webhook_problems
from stacks.seldon_deployer.sharing import ab_name, alone, beside, replicas_for, routed
from tests.remote.seldon_rules import refusals
from tests.remote.seldon_stub import SCHEMA
from tests.stacks.local_deployer.conftest import DIGEST, make_verdict, release_of
from tests.stacks.seldon_deployer.test_manifest import config


def arm(version: int) -> Arm:
    digest = str(version) * 64
    uri = f"s3://bucket/models/{version}"
    return Arm(version=version, model_digest=digest, model_uri=uri, verdict=make_verdict(DIGEST))


CHAMPION, CANDIDATE = arm(1), arm(2)
FIXED: dict[str, Any] = {"production": {"autoscaling": None, "replicas": 4}}
SHARES: dict[Mode, float] = {"canary": 0.1, "ab": 0.2, "shadow": 0.0}


def release(mode: Mode, environment: Environment = "production", share: float | None = None) -> Release:
    proposed = release_of(CANDIDATE, environment, champion=CHAMPION)
    return proposed.model_copy(update={"mode": mode, "share": SHARES[mode] if share is None else share})


def made(mode: Mode, environment: Environment = "production", **settings: Any) -> Specification:
    """What serves both."""
    known, coming = config(**settings), release(mode, environment)
    if mode == "ab":
        return routed(coming, CHAMPION, known)
    [one] = specification(release_of(CHAMPION, environment), CHAMPION, known).predictors
    [other] = specification(coming, CANDIDATE, known).predictors
    return beside(one, other, coming, known)


def as_sent(spec: Specification) -> dict[str, Any]:
    metadata = Metadata(name="a", namespace="b", labels=MANAGED_BY, annotations={"shutterline/live": "{}"})
    return SeldonDeployment(metadata=metadata, spec=spec).as_json()


EVERY = [
    pytest.param(mode, environment, settings, id=f"{mode}-{environment}-{name}")
    for mode in SHARES
    for environment in ("staging", "production")
    for name, settings in {"usual": {}, "fixed": FIXED, "gpu": {"production": {"gpus": 1}}}.items()
]


@pytest.mark.parametrize(("mode", "environment", "settings"), EVERY)
def test_seldons_rules_take_it(mode: Mode, environment: Environment, settings: dict[str, Any]) -> None:
    """By our types, and by the stub's rules, which are written from Seldon's."""
    spec = made(mode, environment, **settings)
    assert webhook_problems(spec) == []
    assert refusals(as_sent(spec), None) == []


@pytest.mark.shared_data
@pytest.mark.skipif(not SCHEMA.exists(), reason=f"there is no {SCHEMA}")
@pytest.mark.parametrize(("mode", "environment", "settings"), EVERY)
def test_seldons_schema_takes_it(mode: Mode, environment: Environment, settings: dict[str, Any]) -> None:
    """Every key is one that Seldon's resource definition knows."""
    assert refusals(as_sent(made(mode, environment, **settings)), SCHEMA) == []


def test_a_canary_has_its_share_and_replicas_in_proportion() -> None:
    """The champion's predictor is as it was, but for its traffic; a pod that dies leaves another one."""
    champion, candidate = made("canary").predictors
    [alone_before] = specification(release_of(CHAMPION, "production"), CHAMPION, config()).predictors
    assert champion == alone_before.model_copy(update={"traffic": 90})
    assert (candidate.name, candidate.traffic, candidate.shadow) == (predictor_name(CANDIDATE), 10, None)
    assert (champion.least_replicas, candidate.least_replicas) == (3, 2)
    assert [one.least_replicas for one in made("canary", **FIXED).predictors] == [4, 2]
    assert replicas_for(release("canary", share=0.5), config()) == 2
    assert replicas_for(release("canary", share=0.99), config()) == 3
    assert replicas_for(release("canary", "staging", share=0.5), config()) == 1
    down_to_one = {"production": {"autoscaling": {"minimum": 1}}}
    assert replicas_for(release("canary"), config(**down_to_one)) == 1
    assert replicas_for(release("canary"), config(production={"autoscaling": None, "replicas": 1})) == 1


def test_a_shadow_has_no_traffic_and_replicas_for_all_of_it() -> None:
    """It gets a copy of every request."""
    champion, candidate = made("shadow").predictors
    assert (champion.traffic, candidate.traffic, candidate.shadow) == (100, 0, True)
    assert candidate.least_replicas == 3


def test_what_had_a_share_serves_alone_with_the_same_pods() -> None:
    """Only traffic and replicas change."""
    for mode in ("canary", "shadow"):
        candidate = made(mode).predictors[1]
        spec = alone(candidate, 3)
        [promoted] = spec.predictors
        assert (promoted.traffic, promoted.shadow, promoted.least_replicas) == (100, None, 3)
        [pods], [before] = promoted.component_specs, candidate.component_specs
        assert pods.spec == before.spec
        assert pods.metadata == before.metadata
        assert spec == specification(release("canary"), CANDIDATE, config())


def test_an_ab_test_is_one_predictor_with_a_router_before_both_versions() -> None:
    """Its units listen on ports of their own, Seldon leads on to them; each version scales alone."""
    spec = made("ab")
    [predictor] = spec.predictors
    assert predictor.name == ab_name(release("ab"), CHAMPION)
    assert predictor.annotations == {}
    assert (predictor.graph.name, predictor.graph.type) == ("router", "ROUTER")
    children = predictor.graph.children or ()
    assert [child.name for child in children] == [predictor_name(CHAMPION), predictor_name(CANDIDATE)]
    router, champion, candidate = (one.spec.containers[0] for one in predictor.component_specs)
    assert [one.name for one in (router, champion, candidate)] == ["router", *(c.name for c in children)]
    ports = [port.container_port for one in (router, champion, candidate) for port in one.ports or ()]
    assert ports == [9000, 6000, 9001, 6001, 9002, 6002]
    assert router.command == ("python", "-m", "serving.router_launcher")
    assert router.args[router.args.index("--share") + 1] == "0.2"
    assert predictor.component_specs[0].spec.init_containers == ()
    scaled = [one.hpa_spec and one.hpa_spec.min_replicas for one in predictor.component_specs]
    assert scaled == [None, 3, 2]
    [fixed] = made("ab", **FIXED).predictors
    assert [one.replicas for one in fixed.component_specs] == [4, 4, 2]
    other = release("ab").model_copy(update={"candidate": arm(3)})
    assert len({ab_name(release("ab"), CHAMPION), ab_name(other, CHAMPION), ab_name(other, CANDIDATE)}) == 3


@pytest.mark.parametrize(
    ("mode", "share", "says"),
    [("canary", 0.125, "whole percent"), ("ab", 0.001, "whole percent"), ("canary", 1.0, "cannot have")],
)
def test_a_share_that_a_cluster_cannot_give_is_refused(mode: Mode, share: float, says: str) -> None:
    """Weights are whole percents."""
    coming, known = release(mode, share=share), config()
    [one] = specification(coming, CANDIDATE, known).predictors
    with pytest.raises(UsageError, match=says):
        if mode == "ab":
            routed(coming, CHAMPION, known)
        else:
            beside(one, one, coming, known)


def test_who_gets_what_is_part_of_what_runs() -> None:
    """Another share, a shadow that answers, another router or another share of it is another program."""
    specs = [
        made("canary"),
        made("shadow"),
        made("ab"),
        specification(release("canary"), CANDIDATE, config()),
    ]
    [one] = specification(release_of(CHAMPION, "production"), CHAMPION, config()).predictors
    [other] = specification(release("canary"), CANDIDATE, config()).predictors
    specs.append(beside(one, other, release("canary", share=0.5), config()))
    specs.append(routed(release("ab", share=0.5), CHAMPION, config()))
    found = [programs(spec.as_json()) for spec in specs]
    assert all(found[place] not in found[:place] for place in range(len(found)))
    renamed = made("ab").as_json()
    renamed["predictors"][0]["graph"]["children"].reverse()
    assert programs(renamed) != found[2]
    retyped = made("ab").as_json()
    retyped["predictors"][0]["graph"]["type"] = "MODEL"
    assert programs(retyped) != found[2]
