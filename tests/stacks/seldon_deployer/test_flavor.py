"""The settings of the cluster's deployer."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from stacks.seldon_deployer.deployer import SeldonClusterModelDeployer
from stacks.seldon_deployer.flavor import (
    SeldonClusterModelDeployerConfig,
    SeldonClusterModelDeployerFlavor,
)

NEEDED = {
    "ingress_url": "https://models.example",
    "image": "registry.example/serving:1",
    "service_token": "{{shutterline_serving.token}}",
}


def test_the_flavor_names_its_deployer() -> None:
    """ZenML finds the implementation under the flavor's name; it is remote."""
    flavor = SeldonClusterModelDeployerFlavor()
    assert flavor.name == "seldon-cluster"
    assert flavor.implementation_class is SeldonClusterModelDeployer
    config = flavor.config_class(**NEEDED)
    assert (config.is_remote, config.is_local) == (True, False)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"nodes": 3}, "nodes"),
        ({"staging": {"replica": 2}}, "replica"),
        ({"staging": {"memory_request": "4 GB"}}, "memory_request"),
        ({"production": {"memory_limit": "lots"}}, "memory_limit"),
        ({"production": {"replicas": 1}}, "lies between 2 and 10"),
        ({"production": {"autoscaling": {"minimum": 4, "maximum": 3}}}, "more than maximum"),
        ({"kubernetes_url": "https://k8s.example:6443"}, "go together"),
        ({"kubernetes_token": "{{shutterline_kubernetes.token}}"}, "go together"),
        (
            {
                "kubernetes_url": "https://k8s.example",
                "kubernetes_token": "{{shutterline_kubernetes.token}}",
                "kubernetes_context": "prod",
            },
            "name a cluster each",
        ),
        ({"ingress_url": "models.example"}, "ingress_url is 'models.example'"),
        ({"namespace": "Shutter_Line"}, "namespace is 'Shutter_Line'"),
        ({"ready_timeout_s": 0}, "ready_timeout_s"),
        ({"staging": {"interfaces": ["grpc"]}}, "it has rest"),
        ({"staging": {"interfaces": ["rest", "rest"]}}, "each of them once"),
        ({"staging": {"interfaces": ["rest", "soap"]}}, "interfaces"),
        (
            {"production": {"interfaces": ["rest", "v2"]}},
            r"production has the interface v2, and v2_image names no image .*: make images ARGS=--push",
        ),
        ({"staging": {"interfaces": ["rest", "v2"]}, "v2_image": ""}, "staging has the interface v2"),
        ({"capture_pictures": 1.5}, "capture_pictures"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(settings: dict[str, Any], says: str) -> None:
    """A typo does not pass silently, nor do settings that contradict each other."""
    with pytest.raises(ValidationError, match=says):
        SeldonClusterModelDeployerConfig(**{**NEEDED, **settings})


def test_what_is_empty_is_not_set() -> None:
    """A stack file that takes a setting from the environment gives an empty text where nothing is set."""
    empty = {f"kubernetes_{key}": "" for key in ("url", "token", "ca", "context")}
    config = SeldonClusterModelDeployerConfig(**NEEDED, **empty, s3_endpoint="")
    assert (config.kubernetes_url, config.kubernetes_ca, config.s3_endpoint) == (None, None, None)
    assert config.site == "in-cluster/namespaces/shutterline"


def test_a_secret_may_be_referred_to() -> None:
    """The token of the cluster is looked up when it is used, not when the settings are read."""
    config = SeldonClusterModelDeployerConfig(
        **NEEDED, kubernetes_url="https://k8s.example", kubernetes_token="{{shutterline_kubernetes.token}}"
    )
    assert {secret.name for secret in config.required_secrets} == {
        "shutterline_kubernetes",
        "shutterline_serving",
    }
    assert config.site == "https://k8s.example/namespaces/shutterline"


@pytest.mark.parametrize(
    ("production", "scaling"),
    [
        ({}, (2, 10)),
        ({"autoscaling": {"maximum": 4}}, (2, 4)),
        ({"autoscaling": None, "replicas": 5}, (5, 5)),
    ],
)
def test_the_replicas_that_there_are_follow_from_the_settings(
    production: dict[str, Any], scaling: tuple[int, int]
) -> None:
    """What a model's throughput and cost are counted with."""
    config = SeldonClusterModelDeployerConfig.model_validate({**NEEDED, "production": production})
    assert config.environment("production").scaling == scaling
    assert config.environment("staging").scaling == (1, 1)
