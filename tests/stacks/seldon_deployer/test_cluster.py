"""How the Kubernetes API and the ingress are asked: by the rules of every other service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.main.home import free_port
from materializers.errors import ServiceUnreachable, UsageError
from stacks import probing
from stacks.seldon_deployer.asking import through_ingress
from stacks.seldon_deployer.cluster import Cluster
from stacks.seldon_deployer.flavor import SeldonClusterModelDeployerConfig
from stacks.seldon_deployer.resource import PLURAL
from tests.stacks.answers import Answer, answering
from tests.stacks.seldon_deployer.conftest import NAME, KeptObjects
from tests.stacks.tls import SecuredServer, secured_server


@pytest.fixture
def secured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SecuredServer]:
    """A server whose certificate the environment does not name."""
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    with secured_server(tmp_path) as server:
        yield server


def cluster(url: str, **settings: Any) -> Cluster:
    named = {} if "kubernetes_context" in settings else {"kubernetes_url": url, "kubernetes_token": "any"}
    needed = {"ingress_url": url, "image": "registry.example/serving:1", "service_token": "any"}
    return Cluster(SeldonClusterModelDeployerConfig(**{**needed, **named, **settings}))


def test_a_private_authority_counts_for_the_api_and_for_the_ingress(
    secured: SecuredServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lets the registrar's check pass lets a release come up."""
    with pytest.raises(ServiceUnreachable, match=r"does not answer \(.*certificate"):
        cluster(secured.url).get(PLURAL, NAME)
    assert cluster(secured.url, kubernetes_ca=secured.certificate.read_text()).get(PLURAL, NAME) == {}
    with pytest.raises(probing.NO_PREDICTION), through_ingress(secured.url)() as client:
        client.get("/")
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        with monkeypatch.context() as environment:
            environment.setenv(name, str(secured.certificate))
            assert cluster(secured.url).get(PLURAL, NAME) == {}
            with through_ingress(f"{secured.url}/seldon/shutterline/a/api/v1.0/predictions")() as client:
                assert client.get(f"{secured.url}/health").json() == {}


def test_no_proxy_stands_before_this_machine(
    kept_objects: KeptObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither before the API nor before the ingress: the network's proxy has another loopback."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    assert Cluster(kept_objects.config).get(PLURAL, NAME) is None
    status = {"jsonData": {"model_version": "7", "model_digest": "d"}}
    with answering({"/base/health/status": Answer(200, status)}) as ingress:
        base = f"{ingress.url}/base"
        assert probing.is_ready(through_ingress(base), base, "7", "d")


@pytest.mark.parametrize("trusted", ["file", "nothing is checked", "environment"])
def test_a_kubeconfig_says_which_authority_counts(
    secured: SecuredServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: str
) -> None:
    """Its own, or none; where it says nothing, the environment's."""
    from kubernetes.config import kube_config

    server: dict[str, Any] = {"server": secured.url}
    if trusted == "file":
        server["certificate-authority"] = str(secured.certificate)
    elif trusted == "nothing is checked":
        server["insecure-skip-tls-verify"] = True
    content = {
        "clusters": [{"name": "shop", "cluster": server}],
        "contexts": [{"name": "prod", "context": {"cluster": "shop", "user": "ada"}}],
        "users": [{"name": "ada", "user": {}}],
        "current-context": "prod",
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(content))
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
    if trusted == "environment":
        with pytest.raises(ServiceUnreachable, match="certificate"):
            cluster(secured.url, kubernetes_context="prod").get(PLURAL, NAME)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(secured.certificate))
    assert cluster(secured.url, kubernetes_context="prod").get(PLURAL, NAME) == {}


def test_an_authority_that_is_none_is_wrong_use() -> None:
    """The setting holds no certificate: said before anything is asked."""
    with pytest.raises(UsageError, match="certificates of the authorities"):
        cluster("https://k8s.example", kubernetes_ca="-----BEGIN CERTIFICATE-----")
