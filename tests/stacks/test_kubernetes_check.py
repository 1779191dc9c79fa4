"""What is asked of the cluster that serves, and what is said when something lacks.

The answers are those of the Kubernetes API, sent by tests/stacks/answers.py.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from benchmarks.main.home import free_port
from materializers.errors import ServiceUnreachable, UsageError
from stacks.kubernetes_check import REVIEWS, check_cluster
from tests.stacks.answers import Answer, Asked, Routes, answering

TOKEN = "marked-token-79"
RESOURCES = "/apis/machinelearning.seldon.io/v1/namespaces/shop/seldondeployments"
SECRET = "/api/v1/namespaces/shop/secrets/bucket"
SERVING = "/api/v1/namespaces/shop/secrets/serving"
SERVICE_TOKEN = "marked-service-token"
KEYS = {"AWS_ACCESS_KEY_ID": "bWFya2Vk", "AWS_SECRET_ACCESS_KEY": "bWFya2Vk"}
UNAUTHORIZED = Answer(401, {"kind": "Status", "message": "Unauthorized", "code": 401})


def status(code: int, message: str) -> Answer:
    """What Kubernetes sends in place of what was asked for."""
    return Answer(code, {"kind": "Status", "status": "Failure", "message": message, "code": code})


def reviewed(asked: Asked, *refused: tuple[str, str]) -> Answer:
    """The review of a question, which names a verb and a resource."""
    attributes = asked.body["spec"]["resourceAttributes"]
    assert attributes["namespace"] == "shop"
    resource = "/".join(filter(None, (attributes["resource"], attributes.get("subresource"))))
    return Answer(201, {"status": {"allowed": (attributes["verb"], resource) not in refused}})


CLUSTER: Routes = {
    RESOURCES: lambda asked: (
        Answer(200, {"kind": "SeldonDeploymentList", "items": []})
        if asked.authorization == f"Bearer {TOKEN}"
        else UNAUTHORIZED
    ),
    REVIEWS: reviewed,
    SECRET: Answer(200, {"data": KEYS}),
    SERVING: Answer(200, {"data": {"token": b64encode(f"old\n{SERVICE_TOKEN}\n".encode()).decode()}}),
}


def deployer(url: str, **changes: Any) -> dict[str, Any]:
    """The configuration of the cluster's deployer."""
    good = {
        "kubernetes_url": url,
        "kubernetes_token": TOKEN,
        "namespace": "shop",
        "s3_secret": "bucket",
        "token_secret": "serving",
        "service_token": SERVICE_TOKEN,
        "ingress_url": url,
    }
    return {**good, **changes}


def test_a_cluster_with_seldon_permissions_and_secret_is_good() -> None:
    """Each is said; all that is sent are questions."""
    with answering(CLUSTER) as server:
        said = check_cluster(deployer(server.url))
        assert said == (
            f"Kubernetes at {server.url} has Seldon Core, the account may do what it needs in shop, "
            "the secret bucket is there, the secret serving is there"
        )
        assert {asked.path for asked in server.asked if asked.method != "GET"} == {REVIEWS}


@pytest.mark.parametrize(
    ("changed", "settings", "error", "said"),
    [
        ({}, {"kubernetes_token": "old"}, ServiceUnreachable, "(401: Unauthorized): check kubernetes_token"),
        ({RESOURCES: Answer(404, "404 page not found")}, {}, UsageError, "no seldondeployments (/apis/"),
        ({RESOURCES: Answer(200, "<html>Hi</html>")}, {}, UsageError, "is not Kubernetes: "),
        (
            {SECRET: status(404, 'secrets "bucket" not found')},
            {},
            UsageError,
            "no secret bucket in the namespace shop: kubectl -n shop create secret generic bucket "
            "--from-literal=AWS_ACCESS_KEY_ID=… --from-literal=AWS_SECRET_ACCESS_KEY=…",
        ),
        (
            {SECRET: Answer(200, {"data": {"AWS_ACCESS_KEY_ID": "bWFya2Vk"}})},
            {},
            UsageError,
            "the secret bucket has no AWS_SECRET_ACCESS_KEY",
        ),
        (
            {SERVING: status(404, 'secrets "serving" not found')},
            {},
            UsageError,
            "no secret serving in the namespace shop: kubectl -n shop create secret generic serving "
            "--from-literal=token=…",
        ),
        (
            {SERVING: Answer(200, {"data": {"token": b64encode(b"another").decode()}})},
            {},
            UsageError,
            "the secret serving holds another token than service_token",
        ),
    ],
)
def test_what_the_cluster_lacks_is_said(
    changed: Routes, settings: dict[str, str], error: type[Exception], said: str
) -> None:
    """An unknown token, no Seldon Core, another program, no secret: with what mends it."""
    with answering({**CLUSTER, **changed}) as server, pytest.raises(error) as caught:
        check_cluster(deployer(server.url, **settings))
    assert f"Kubernetes at {server.url}" in str(caught.value)
    assert said in str(caught.value)
    assert TOKEN not in str(caught.value) and "bWFya2Vk" not in str(caught.value)
    assert SERVICE_TOKEN not in str(caught.value) and "another\n" not in str(caught.value)


def test_each_missing_permission_is_named_with_the_command_that_grants_it() -> None:
    """A role and its binding, for exactly the verbs that lack."""
    refused = (("list", "seldondeployments"), ("delete", "seldondeployments"), ("get", "pods/log"))
    routes = {
        **CLUSTER,
        RESOURCES: status(403, "seldondeployments.machinelearning.seldon.io is forbidden"),
        REVIEWS: lambda asked: reviewed(asked, *refused),
    }
    with answering(routes) as server, pytest.raises(ServiceUnreachable) as caught:
        check_cluster(deployer(server.url))
    said = str(caught.value)
    assert "may not, in the namespace shop: list, delete seldondeployments.machinelearning.seldon.io" in said
    assert (
        "kubectl -n shop create role shutterline-seldondeployments --verb=list,delete "
        "--resource=seldondeployments.machinelearning.seldon.io" in said
    )
    assert "kubectl -n shop create role shutterline-pods-log --verb=get --resource=pods/log" in said
    assert (
        "create rolebinding shutterline-pods-log --role=shutterline-pods-log --serviceaccount=shop:ACCOUNT"
        in said
    )
    assert "configmaps" not in said


def test_a_secret_that_the_account_may_not_read_is_not_checked() -> None:
    """The pods read it, the deployer need not."""
    forbidden = status(403, 'secrets "bucket" is forbidden: User cannot get resource')
    with answering({**CLUSTER, SECRET: forbidden, SERVING: forbidden}) as server:
        said = str(check_cluster(deployer(server.url)))
    for name in ("bucket", "serving"):
        assert f"the secret {name} not checked: the account may not read it, and need not" in said


def test_a_cluster_or_an_ingress_that_is_not_there_is_told() -> None:
    """Each with its own address and setting."""
    nobody = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ServiceUnreachable, match=f"Kubernetes at {nobody} .*check kubernetes_url"):
        check_cluster(deployer(nobody))
    with (
        answering(CLUSTER) as server,
        pytest.raises(ServiceUnreachable, match=f"the ingress at {nobody} .*check ingress_url"),
    ):
        check_cluster(deployer(server.url, ingress_url=nobody))


def test_a_cluster_without_an_address_is_not_checked() -> None:
    """It is the one that a process runs in, or that of a kubeconfig."""
    assert check_cluster(deployer("", kubernetes_token=None)) is None
