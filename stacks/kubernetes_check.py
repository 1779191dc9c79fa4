"""Check the cluster that serves: Seldon Core and the secrets are there, and the account may do its work.

Kubernetes tells an account what it may in answer to a review, which it does not keep: nothing is written.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from materializers.errors import ServiceUnreachable, UsageError
from stacks.http_service import HttpService, bearer
from stacks.seldon_deployer.resource import GROUP, PLURAL, S3_KEYS, VERSION

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
TOKEN_KEY = "token"  # noqa: S105 - the key in the secret
FORBIDDEN, NOT_FOUND = 403, 404


class Need(NamedTuple):
    """What the deployer asks the cluster to do in its namespace."""

    verbs: tuple[str, ...]
    group: str
    resource: str
    part: str = ""

    @property
    def kind(self) -> str:
        """The resource as roles write it."""
        return (
            self.resource + (f"/{self.part}" if self.part else "") + (f".{self.group}" if self.group else "")
        )


NEEDS = (
    Need(("get", "list", "create", "update", "delete"), GROUP, PLURAL),
    Need(("get", "create", "update", "delete"), "", "configmaps"),
    Need(("get", "list"), "", "pods"),
    Need(("get",), "", "pods", "log"),
    Need(("list",), "", "events"),
)
"""The resources, the history of what was taken down, and where the reason stands when a pod does not come."""


def check_cluster(configuration: dict[str, Any]) -> str | None:
    """Require Seldon Core, the account's permissions and the secrets that pods read.

    Args:
        configuration: of the ``seldon-cluster`` model deployer with its defaults, its secrets looked up.

    Returns:
        What was found; None for a cluster that no address names.

    Raises:
        UsageError: the address is none, there is no Seldon Core, a secret is not there, or holds another
            token than the deployer would show.
        ServiceUnreachable: the cluster or the ingress does not answer, or the account may not do something.
    """
    if not configuration.get("kubernetes_url"):
        return None
    namespace = str(configuration["namespace"])
    server = HttpService(
        "Kubernetes",
        str(configuration["kubernetes_url"]),
        "kubernetes_url",
        headers=bearer(configuration.get("kubernetes_token")),
        accounts=f"kubernetes_token: kubectl -n {namespace} create token ACCOUNT makes one",
        verify=configuration.get("kubernetes_ca") or True,
    )
    _require_seldon(server, namespace)
    ingress = HttpService("the ingress", str(configuration["ingress_url"]), "ingress_url")
    ingress.answer("/")  # whatever it answers: without a release there is nothing behind it
    found = [_permissions(server, namespace), *_secrets(server, configuration)]
    return f"{server.shown} has Seldon Core, {', '.join(found)}"


def _require_seldon(server: HttpService, namespace: str) -> None:
    path = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}"
    response = server.answer(path, query={"limit": "1"})
    if response.status_code == NOT_FOUND:
        raise UsageError(
            f"{server.shown} has no {PLURAL} ({path} came back with 404): install Seldon Core 1, or correct "
            "kubernetes_url"
        )
    # Who may not list them is told so with all else that the account may not.
    if response.status_code != FORBIDDEN:
        server.content(response)


def _permissions(server: HttpService, namespace: str) -> str:
    """Say that the account may do all that is needed.

    Raises:
        ServiceUnreachable: naming what it may not, and the command that allows it.
    """
    missing = [
        (need.kind, refused)
        for need in NEEDS
        if (refused := [verb for verb in need.verbs if not _may(server, namespace, need, verb)])
    ]
    if not missing:
        return f"the account may do what it needs in {namespace}"
    told = "; ".join(f"{', '.join(verbs)} {kind}" for kind, verbs in missing)
    raise ServiceUnreachable(
        f"{server.shown}: the account of kubernetes_token may not, in the namespace {namespace}: {told}: "
        f"{' && '.join(_roles(namespace, missing))}"
    )


def _roles(namespace: str, missing: Iterable[tuple[str, list[str]]]) -> Iterable[str]:
    for kind, verbs in missing:
        name = f"shutterline-{kind.partition('.')[0].replace('/', '-')}"
        yield f"kubectl -n {namespace} create role {name} --verb={','.join(verbs)} --resource={kind}"
        yield (
            f"kubectl -n {namespace} create rolebinding {name} --role={name} "
            f"--serviceaccount={namespace}:ACCOUNT"
        )


def _may(server: HttpService, namespace: str, need: Need, verb: str) -> bool:
    asked = {
        "namespace": namespace,
        "verb": verb,
        "group": need.group,
        "resource": need.resource,
        "subresource": need.part,
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {key: value for key, value in asked.items() if value}},
    }
    answer = server.json(REVIEWS, method="POST", body=review)
    return bool(answer.get("status", {}).get("allowed"))


def _secrets(server: HttpService, configuration: dict[str, Any]) -> Iterator[str]:
    """Say whether pods find the bucket's credentials, and the token that a request to them has to show.

    Raises:
        UsageError: they do not, or the token is another than the deployer's.
    """
    namespace = str(configuration["namespace"])
    bucket, serving = str(configuration["s3_secret"]), str(configuration["token_secret"])
    yield _held(server, namespace, bucket, S3_KEYS)[0]
    said, held = _held(server, namespace, serving, (TOKEN_KEY,))
    token = str(configuration.get("service_token") or "")
    if held is not None and token.encode() not in b64decode(held[TOKEN_KEY]).split():
        raise UsageError(
            f"{server.shown}: the secret {serving} holds another token than service_token, so that no "
            f"service would answer: {_make(namespace, serving, (TOKEN_KEY,))}, with what service_token is"
        )
    yield said


def _held(
    server: HttpService, namespace: str, name: str, keys: tuple[str, ...]
) -> tuple[str, dict[str, str] | None]:
    """Say whether a secret has its keys; with its content, where the account may read it.

    Raises:
        UsageError: it does not.
    """
    response = server.answer(f"/api/v1/namespaces/{namespace}/secrets/{name}")
    if response.status_code == FORBIDDEN:
        return f"the secret {name} not checked: the account may not read it, and need not", None
    mend = _make(namespace, name, keys)
    if response.status_code == NOT_FOUND:
        raise UsageError(f"{server.shown} has no secret {name} in the namespace {namespace}: {mend}")
    held = server.content(response).get("data") or {}
    lacking = [key for key in keys if key not in held]
    if lacking:
        raise UsageError(
            f"{server.shown}: the secret {name} has no {', '.join(lacking)}: make it anew: {mend}"
        )
    return f"the secret {name} is there", held


def _make(namespace: str, name: str, keys: tuple[str, ...]) -> str:
    values = " ".join(f"--from-literal={key}=…" for key in keys)
    return f"kubectl -n {namespace} create secret generic {name} {values}"
