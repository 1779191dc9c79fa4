"""The few calls of the Kubernetes API that the deployer makes, and what their failures mean."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import httpx

from materializers.errors import ServiceUnreachable
from stacks.http_service import connect, trust
from stacks.seldon_deployer.flavor import SeldonClusterModelDeployerConfig
from stacks.seldon_deployer.resource import GROUP, PLURAL, VERSION

ANSWER_TIMEOUT_S = 20.0
LOG_LINES = 12
Json = dict[str, Any]


class ConflictError(Exception):
    """Another command changed the resource since it was read."""


class Access(NamedTuple):
    """Where a cluster's API is, and how this process shows who it is."""

    url: str
    authorization: Callable[[], str | None]
    trust: ssl.SSLContext


def cluster_access(config: SeldonClusterModelDeployerConfig) -> Access:
    """Find the cluster that the settings name.

    Raises:
        ServiceUnreachable: the kubeconfig has no such context, or this process runs in no cluster.
        UsageError: the certificates that are to be trusted cannot be read.
    """
    if config.kubernetes_url:
        token = config.kubernetes_token
        authorities = trust(config.kubernetes_ca or True)
        return Access(config.kubernetes_url.rstrip("/"), lambda: f"Bearer {token}", authorities)
    from kubernetes import client
    from kubernetes import config as loader

    found = client.Configuration()
    try:
        if config.kubernetes_context:
            loader.load_kube_config(context=config.kubernetes_context, client_configuration=found)
        else:
            loader.load_incluster_config(client_configuration=found)
    except (loader.ConfigException, OSError) as error:
        raise ServiceUnreachable(
            f"No Kubernetes cluster is known: {error}. Give the model deployer kubernetes_url and "
            "kubernetes_token, or the kubernetes_context of a kubeconfig: python -m stacks.apply FILE"
        ) from error
    context = trust((found.ssl_ca_cert or True) if found.verify_ssl else False)
    if found.cert_file:
        context.load_cert_chain(found.cert_file, found.key_file)
    # Asked each time: tokens of a service account, and those of a cloud, are renewed while we run.
    return Access(found.host.rstrip("/"), lambda: found.get_api_key_with_prefix("authorization"), context)


class Cluster:
    """One namespace of one cluster."""

    def __init__(self, config: SeldonClusterModelDeployerConfig) -> None:
        self.namespace = config.namespace
        self._access = cluster_access(config)
        self._now: datetime | None = None
        core = f"/api/v1/namespaces/{self.namespace}"
        self._paths = {
            PLURAL: f"/apis/{GROUP}/{VERSION}/namespaces/{self.namespace}/{PLURAL}",
            "configmaps": f"{core}/configmaps",
            "pods": f"{core}/pods",
            "events": f"{core}/events",
        }

    @property
    def now(self) -> datetime:
        """The cluster's clock when it answered last: one clock for every command, wherever it runs."""
        return self._now or datetime.now(UTC)

    def get(self, kind: str, name: str) -> Json | None:
        """One object; None where there is none."""
        answer = self._ask("GET", kind, name)
        return None if answer.status_code == httpx.codes.NOT_FOUND else self._json(answer)

    def list(self, kind: str, **query: str) -> list[Json]:
        """Objects by ``labelSelector`` or ``fieldSelector``."""
        answer = self._ask("GET", kind, query=query)
        self._require(answer, "list", kind, "")
        return list(self._json(answer)["items"])

    def create(self, kind: str, body: Json) -> Json:
        """A new object.

        Raises:
            ConflictError: there is one of that name.
            ServiceUnreachable: the cluster cannot be reached, or refuses it.
        """
        answer = self._ask("POST", kind, body=body)
        self._require(answer, "create", kind, body["metadata"]["name"])
        return self._json(answer)

    def replace(self, kind: str, body: Json) -> Json:
        """Another content for an object, unless it was changed since ``body`` was read.

        Raises:
            ConflictError: it was changed, or is gone.
            ServiceUnreachable: the cluster cannot be reached, or refuses it.
        """
        name = body["metadata"]["name"]
        answer = self._ask("PUT", kind, name, body=body)
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise ConflictError(f"{kind} {name} is gone")
        self._require(answer, "update", kind, name)
        return self._json(answer)

    def delete(self, kind: str, name: str, *, resource_version: str | None = None) -> None:
        """Remove an object, if it is there, unless it was changed since it had ``resource_version``.

        Raises:
            ConflictError: it was changed.
            ServiceUnreachable: the cluster cannot be reached, or refuses it.
        """
        wanted = {"resourceVersion": resource_version} if resource_version else None
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        answer = self._ask(
            "DELETE", kind, name, body={**body, **({"preconditions": wanted} if wanted else {})}
        )
        if answer.status_code != httpx.codes.NOT_FOUND:
            self._require(answer, "delete", kind, name)

    def log(self, pod: str, container: str, *, previous: bool) -> str:
        """The end of a container's log; empty where it has none, or we may not read it."""
        query = {"container": container, "tailLines": str(LOG_LINES), "previous": str(previous).lower()}
        answer = self._ask("GET", "pods", f"{pod}/log", query=query)
        return answer.text if answer.status_code == httpx.codes.OK else ""

    def _ask(
        self,
        method: str,
        kind: str,
        name: str = "",
        *,
        body: Json | None = None,
        query: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Ask once; what the cluster refuses for want of rights is an error here already."""
        token = self._access.authorization()
        address = f"{self._access.url}{self._paths[kind]}{f'/{name}' if name else ''}"
        try:
            with connect(self._access.url, verify=self._access.trust, timeout_s=ANSWER_TIMEOUT_S) as client:
                answer = client.request(
                    method,
                    address,
                    json=body,
                    params=query,
                    headers={"authorization": token} if token else {},
                )
        except httpx.HTTPError as error:
            raise ServiceUnreachable(
                f"The Kubernetes API {self._access.url} does not answer ({error or type(error).__name__}): "
                "check kubernetes_url of the model deployer and the network. What is served is unaffected"
            ) from error
        if "date" in answer.headers:
            self._now = parsedate_to_datetime(answer.headers["date"])
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise ServiceUnreachable(
                f"The Kubernetes API {self._access.url} does not know the token of the model deployer (401). "
                "Renew it: zenml secret update shutterline_kubernetes --token=…"
            )
        if answer.status_code == httpx.codes.FORBIDDEN and not name.endswith("/log"):
            raise ServiceUnreachable(
                f"The Kubernetes API {self._access.url} does not allow {method} of {kind} in namespace "
                f"{self.namespace} (403): {_said(answer)}. Grant it: docs/kubeflow.md lists what the service "
                "account needs"
            )
        return answer

    def _require(self, answer: httpx.Response, verb: str, kind: str, name: str) -> None:
        if answer.is_success:
            return
        if answer.status_code == httpx.codes.CONFLICT:
            raise ConflictError(_said(answer))
        hint = "look at the cluster: kubectl get events"
        if answer.status_code == httpx.codes.NOT_FOUND:
            hint = f"there is no namespace {self.namespace}, or Seldon Core is not installed"
        raise ServiceUnreachable(
            f"The Kubernetes API {self._access.url} did not {verb} {kind} {name} in namespace "
            f"{self.namespace} ({answer.status_code}): {_said(answer)}: {hint}"
        )

    def _json(self, answer: httpx.Response) -> Json:
        self._require(answer, "answer", "for", str(answer.request.url.path))
        try:
            content: Json = answer.json()
        except ValueError as error:
            raise ServiceUnreachable(
                f"{answer.request.url} answers {answer.status_code} and no JSON: "
                "check kubernetes_url of the model deployer"
            ) from error
        return content


def _said(answer: httpx.Response) -> str:
    """What the cluster says of a refusal, on one line."""
    try:
        message = str(answer.json()["message"])
    except (ValueError, LookupError, TypeError):
        message = answer.text[:200] or answer.reason_phrase
    return " ".join(message.split())
