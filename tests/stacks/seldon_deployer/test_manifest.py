"""The manifest: the product's numbers, Seldon's schema and rules, no secret."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from pydantic import ValidationError

from materializers.errors import UsageError
from materializers.release import Arm, Environment, Release
from stacks.seldon_deployer.flavor import Autoscaling, SeldonClusterModelDeployerConfig
from stacks.seldon_deployer.manifest import (
    MANAGED_BY,
    as_kept,
    predictor_name,
    resource_name,
    specification,
)
from stacks.seldon_deployer.resource import Metadata, Predictor, SeldonDeployment, Specification
from tests.remote.seldon_rules import refusals
from tests.remote.seldon_stub import SCHEMA, SERVICE_TOKEN
from tests.stacks.local_deployer.conftest import DIGEST, MODEL_NAME, make_verdict, release_of
from tests.stacks.seldon_deployer.foreign import FOREIGN, altered

ARM = Arm(version=7, model_digest=DIGEST, model_uri="s3://bucket/models/7", verdict=make_verdict(DIGEST))
TWO_UNITS = {"name": "classifier", "type": "ROUTER", "children": [{"name": "classifier"}]}
DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")


def config(**settings: Any) -> SeldonClusterModelDeployerConfig:
    return SeldonClusterModelDeployerConfig(
        **{
            "ingress_url": "https://models.example",
            "image": "registry.example/serving:1",
            "service_token": SERVICE_TOKEN,
            **settings,
        }
    )


def made(environment: Environment, **settings: Any) -> Specification:
    return specification(release_of(ARM, environment), ARM, config(**settings))


def manifest(environment: Environment, **settings: Any) -> dict[str, Any]:
    """As it is sent."""
    metadata = Metadata(name="a", namespace="b", labels=MANAGED_BY, annotations={"shutterline/live": "{}"})
    return SeldonDeployment(metadata=metadata, spec=made(environment, **settings)).as_json()


def component(environment: Environment, **settings: Any) -> dict[str, Any]:
    [predictor] = manifest(environment, **settings)["spec"]["predictors"]
    [found] = predictor["componentSpecs"]
    return dict(found)


def service(environment: Environment, **settings: Any) -> dict[str, Any]:
    """The container that serves."""
    return dict(component(environment, **settings)["spec"]["containers"][0])


def test_staging_has_the_products_numbers() -> None:
    """One replica with 2 CPU and 4 GB, no more and no less."""
    [predictor] = manifest("staging")["spec"]["predictors"]
    container = service("staging")
    assert predictor["replicas"] == 1
    assert container["resources"] == {
        "requests": {"cpu": "2", "memory": "4G"},
        "limits": {"cpu": "2", "memory": "4G"},
    }
    assert "hpaSpec" not in component("staging")


def test_production_has_the_products_numbers() -> None:
    """It starts with 3 of 2–10 replicas at 70 % CPU and 80 % memory; 2 to 4 CPU, 4 to 8 GB."""
    [predictor] = manifest("production")["spec"]["predictors"]
    container = service("production")
    assert "replicas" not in predictor
    assert container["resources"] == {
        "requests": {"cpu": "2", "memory": "4G"},
        "limits": {"cpu": "4", "memory": "8G"},
    }
    scale = component("production")["hpaSpec"]
    assert (scale["minReplicas"], scale["maxReplicas"]) == (3, 10)
    shares = {one["resource"]["name"]: one["resource"]["target"] for one in scale["metricsv2"]}
    assert shares == {
        "cpu": {"type": "Utilization", "averageUtilization": 70},
        "memory": {"type": "Utilization", "averageUtilization": 80},
    }
    assert config().production.autoscaling == Autoscaling(
        minimum=2, maximum=10, cpu_percent=70, memory_percent=80
    )
    later = made("production").with_least_replicas(2).as_json()
    assert later["predictors"][0]["componentSpecs"][0]["hpaSpec"]["minReplicas"] == 2
    with_gpu = service("production", production={"gpus": 1})["resources"]
    assert with_gpu["limits"] == {"cpu": "4", "memory": "8G", "nvidia.com/gpu": "1"}


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_the_clusters_prometheus_finds_the_pods(environment: Environment) -> None:
    """The annotations of its usual scrape jobs name the port that has the metrics."""
    port = next(one["containerPort"] for one in service(environment)["ports"] if one["name"] == "metrics")
    assert component(environment)["metadata"]["annotations"] == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(port),
        "prometheus.io/path": "/metrics",
    }


def test_what_was_kept_without_annotations_is_the_same() -> None:
    """A specification of before there were any still puts its release back."""
    before = made("staging").as_json()
    for one in before["predictors"][0]["componentSpecs"]:
        del one["metadata"]["annotations"]
    assert as_kept(before, made("staging")) is not None


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_both_are_probed_as_the_product_says(environment: Environment) -> None:
    """Live: first after 30 s, every 10 s; ready: after 5 s, every 5 s."""
    container = service(environment)
    asked = {
        kind: (probe["httpGet"]["path"], probe["initialDelaySeconds"], probe["periodSeconds"])
        for kind in ("livenessProbe", "readinessProbe")
        if (probe := container[kind])
    }
    assert asked == {
        "livenessProbe": ("/health/ping", 30, 10),
        "readinessProbe": ("/health/status", 5, 5),
    }


@pytest.mark.shared_data
@pytest.mark.skipif(not SCHEMA.exists(), reason=f"there is no {SCHEMA}")
@pytest.mark.parametrize("environment", ["staging", "production"])
def test_seldons_schema_takes_it(environment: Environment) -> None:
    """Every key is one that Seldon's resource definition knows."""
    settings = {"production": {"gpus": 1}, "s3_endpoint": "https://s3.example"}
    assert refusals(manifest(environment, **settings), SCHEMA) == []
    unknown = manifest(environment)
    unknown["spec"]["predictors"][0]["replica"] = 1
    assert refusals(unknown, SCHEMA)


def test_the_model_comes_from_s3_with_a_secret_that_kubernetes_keeps() -> None:
    """The init container is told bucket and folder, and takes the keys from the secret alone."""
    [fetch] = component("staging", s3_endpoint="https://s3.example")["spec"]["initContainers"]
    assert fetch["args"][:3] == ["copy", ":s3:bucket/models/7", "/mnt/models"]
    variables = {one["name"]: one for one in fetch["env"]}
    assert variables["RCLONE_S3_ENDPOINT"]["value"] == "https://s3.example"
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert variables[key] == {
            "name": key,
            "valueFrom": {"secretKeyRef": {"name": "shutterline-s3", "key": key}},
        }
    local = ARM.model_copy(update={"model_uri": "artifacts/7"})
    with pytest.raises(UsageError, match="no pod can read"):
        specification(release_of(local), local, config())


def test_the_pod_has_no_rights_that_it_does_not_need() -> None:
    """Not root, a root file system that cannot be written, no token of the cluster."""
    pod = component("staging")["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    for container in (*pod["initContainers"], *pod["containers"]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "/tmp" in [mount["mountPath"] for mount in container["volumeMounts"]]  # noqa: S108
    assert {"name": "scratch", "emptyDir": {}} in pod["volumes"]


def test_the_process_demands_the_token_of_a_secret() -> None:
    """A file that only the pod's group can read; no text of the resource has the token."""
    pod = component("staging", token_secret="ours")["spec"]
    items = [{"key": "token", "path": "token"}]
    secret = {"secretName": "ours", "items": items, "defaultMode": 0o440}
    assert {"name": "token", "secret": secret} in pod["volumes"]
    container = pod["containers"][0]
    [mount] = [one for one in container["volumeMounts"] if one["name"] == "token"]
    assert mount["readOnly"] is True
    file = container["args"][container["args"].index("--token-file") + 1]
    assert file == f"{mount['mountPath']}/token"
    assert SERVICE_TOKEN not in json.dumps(manifest("staging"))
    [fetch] = pod["initContainers"]
    assert "token" not in [one["name"] for one in fetch["volumeMounts"]]


def test_the_process_is_told_the_digest_that_the_release_pins() -> None:
    """So it can tell other bytes from those that the verdict is about."""
    container = service("staging")
    told = json.loads(container["args"][container["args"].index("--parameters") + 1])
    values = {one["name"]: one["value"] for one in told}
    assert values == {
        "model_directory": "/mnt/models",
        "model_digest": DIGEST,
        "model_version": "7",
        "model_name": MODEL_NAME,
    }


def test_a_kept_specification_counts_with_other_amounts_and_an_older_image() -> None:
    """It comes back as it was, for exactly the version that it was kept of."""
    settings = {
        "replicas": 4,
        "autoscaling": {"minimum": 4, "maximum": 5, "cpu_percent": 50},
        "memory_limit": "16Gi",
        "gpus": 1,
        "probes": {"ready_every_s": 9},
    }
    then = made(
        "production",
        image="registry.example/serving:0.9",
        storage_initializer_image="rclone/rclone@sha256:0123",
        ready_timeout_s=30,
        production=settings,
    )
    release = release_of(ARM, "production")
    today = specification(release, ARM, config())
    assert as_kept(then.as_json(), today) == then
    fixed = made("production", production={"autoscaling": None})
    assert as_kept(fixed.as_json(), today) == fixed
    for change in ({"version": 8}, {"model_digest": "1" * 64}, {"model_uri": "s3://bucket/other/7"}):
        other = specification(release, ARM.model_copy(update=change), config())
        assert as_kept(then.as_json(), other) is None
    assert as_kept(None, today) is None


@pytest.mark.parametrize("change", FOREIGN)
def test_a_kept_specification_that_would_start_something_else_does_not_count(change: str) -> None:
    """Another image, command, argument, variable or annotation, or what is no specification at all."""
    kept = altered(made("staging").as_json(), change)
    assert as_kept(kept, made("staging")) is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ([{"name": "a", "traffic": 50}, {"name": "b", "traffic": 40}], "sums to 90"),
        ([{"name": "a"}, {"name": "a", "shadow": True}], "two predictors are named a"),
        ([{"name": "a", "shadow": True}], "a shadow cannot be alone"),
        ([{"name": "a"}, {"name": "b", "shadow": True}, {"name": "c", "shadow": True}], "2 shadows"),
        ([{"graph": {"name": "other"}}], "unit other of predictor v7-00000000 has no container"),
        ([{"traffic": 50}], "has 50 of the traffic, and there is no other predictor"),
        ([{"graph": TWO_UNITS}], "has 2 units and no engine to lead from one to the next"),
        ([], "at least 1 item"),
    ],
)
def test_what_the_webhook_refuses_is_refused_before_it_is_sent(
    changes: list[dict[str, Any]], says: str
) -> None:
    """Our types refuse it, and so does the stub by rules of its own."""
    [one] = made("staging").as_json()["predictors"]
    predictors = [{**one, **change} for change in changes]
    with pytest.raises(ValidationError, match=says):
        Specification.model_validate({"predictors": predictors})
    assert refusals({"metadata": {}, "spec": {"predictors": predictors}}, None)


def test_what_shares_the_traffic_is_taken() -> None:
    """90 to 10 with a shadow is a specification; an unknown key is none."""
    [one] = made("staging").as_json()["predictors"]
    parts: list[dict[str, Any]] = [
        {"name": "a", "traffic": 90},
        {"name": "b", "traffic": 10},
        {"name": "c", "shadow": True},
    ]
    predictors = [{**one, **part} for part in parts]
    assert len(Specification.model_validate({"predictors": predictors}).predictors) == 3
    assert refusals({"metadata": {}, "spec": {"predictors": predictors}}, None) == []
    with pytest.raises(ValidationError, match="replica"):
        Predictor.model_validate({**one, "replica": 1})


def test_names_are_stable_and_differ_for_every_model() -> None:
    """A name is a DNS label of at most 45 characters; what had to be changed to be one gets a digest."""
    assert resource_name("product-classifier", "staging") == "staging-product-classifier"
    models = ["a.b", "a-b", "A-b", "a_b", "x" * 128, "x" * 127, "7", "a-"]
    names = [
        resource_name(model, environment) for model in models for environment in ("staging", "production")
    ]
    assert len(set(names)) == len(names)
    assert all(DNS_LABEL.fullmatch(name) and len(name) <= 45 for name in names)
    for wrong in ("", "a/b", "ä", "-a", "a b"):
        with pytest.raises(UsageError, match="cannot be part of a URL"):
            resource_name(wrong, "staging")
    assert DNS_LABEL.fullmatch(predictor_name(ARM))
    assert len(f"{max(names, key=len)}-{predictor_name(ARM)}") <= 63


def test_a_release_carries_no_more_than_the_deployer_needs() -> None:
    """The same release makes the same manifest: applying it twice changes nothing."""
    release = Release(model_name=MODEL_NAME, environment="staging", candidate=ARM)
    assert specification(release, ARM, config()) == specification(release, ARM, config())
