"""Why pods are not ready, in the cluster's own words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from materializers.errors import ServiceUnreachable
from stacks.seldon_deployer.cluster import Cluster, Json

EVENTS_SHOWN = 3


def pods_of(cluster: Cluster, resource: str) -> list[Json]:
    """The pods that Seldon made for a resource."""
    return cluster.list("pods", labelSelector=f"seldon-deployment-id={resource}")


def pods_of_version(cluster: Cluster, resource: str, version: int) -> list[Json]:
    """Those that serve one version."""
    return [pod for pod in pods_of(cluster, resource) if version_of(pod) == str(version)]


def why_not_ready(cluster: Cluster, resource: str, version: int) -> str:
    """The reasons that the pods of one version give, their events, and the end of the log; never empty."""
    with suppress(ServiceUnreachable):  # the failure itself is what has to be told
        found = pods_of_version(cluster, resource, version)
        if not found:
            return "no pod was made for it" + _events(cluster, resource)
        unready = [pod for pod in found if not is_ready(pod)]
        if not unready:
            return "its pods are ready; the ingress does not lead to them"
        return _reasons(cluster, unready[0])
    return "the pods could not be looked at"


def _reasons(cluster: Cluster, pod: Json) -> str:
    name, status = pod["metadata"]["name"], pod.get("status", {})
    said = [*_conditions(status)]
    log = ""
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        if container.get("ready"):
            continue
        said += _of_container(container)
        ended = container.get("lastState", {}).get("terminated")
        log = log or cluster.log(name, container["name"], previous=ended is not None).strip()
    text = f"pod {name}: {'; '.join(said) or status.get('phase', 'unknown')}{_events(cluster, name)}"
    return f"{text}; its log ends:\n{log}" if log else text


def _of_container(container: Json) -> Iterator[str]:
    """What a container waits for, and how it ended before."""
    waiting = container.get("state", {}).get("waiting")
    if waiting and waiting.get("reason") not in (None, "PodInitializing"):
        yield f"{container['name']} waits: {waiting['reason']} {waiting.get('message', '')}".rstrip()
    for state in ("state", "lastState"):
        ended = container.get(state, {}).get("terminated")
        if ended and ended.get("exitCode") != 0:
            # The message may be the end of the log, which is shown anyway: its last line is the reason.
            last = (ended.get("message") or "").strip().splitlines()[-1:]
            reason = "".join(last) or ended.get("reason")
            yield f"{container['name']} ended with {ended.get('exitCode')}: {reason}"


def _conditions(status: Json) -> Iterator[str]:
    for condition in status.get("conditions", ()):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            yield f"not scheduled: {condition.get('message', condition.get('reason'))}"


def _events(cluster: Cluster, name: str) -> str:
    found = cluster.list("events", fieldSelector=f"involvedObject.name={name}")
    warnings = [str(one.get("message", "")) for one in found if one.get("type") == "Warning"]
    return "".join(f"; event: {text}" for text in dict.fromkeys(warnings[-EVENTS_SHOWN:]))


def version_of(pod: Json) -> str | None:
    """The version that a pod serves; None where it serves none, such as a router's."""
    version: str | None = pod["metadata"].get("labels", {}).get("shutterline/version")
    return version


def is_ready(pod: Json) -> bool:
    """Whether all containers of a pod are."""
    containers = pod.get("status", {}).get("containerStatuses", [])
    return bool(containers) and all(one.get("ready") for one in containers)
