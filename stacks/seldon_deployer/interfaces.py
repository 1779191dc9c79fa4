"""The other ways to ask for the live release: gRPC and the v2 protocol, a SeldonDeployment of its own each.

They follow what is live: another version once that is, gone before what is live is taken down. Who was killed
in between left them behind, and the next command has them follow. Nobody waits until they have come up, and a
candidate that rolls out has none. Their pods, and the memory that these take, are their own, as many as those
of the release. They capture nothing: a champion that some ask by gRPC, and a candidate that nobody can, would
not be compared on the same traffic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from materializers.errors import UsageError
from materializers.release import Release
from materializers.report import json_digest
from stacks.seldon_deployer.cluster import Json
from stacks.seldon_deployer.flavor import Interface, SeldonClusterModelDeployerConfig
from stacks.seldon_deployer.manifest import MANAGED_BY, PORTS, predictor_name, programs, specification
from stacks.seldon_deployer.reasons import is_ready, pods_of, version_of, why_not_ready
from stacks.seldon_deployer.resource import (
    Container,
    HttpGet,
    Metadata,
    Port,
    Probe,
    SeldonDeployment,
    Specification,
)
from stacks.seldon_deployer.state import Kept
from stacks.seldon_deployer.store import INTERFACE_LABEL, Store
from stacks.served import candidate_of

EXTRA: tuple[Interface, ...] = tuple(one for one in get_args(Interface) if one != "rest")
GRPC_PORT = 9500
DIGEST = "shutterline/specification"
"""An annotation: of the specification that was written, without what a cluster fills in."""
LAUNCHERS: Mapping[Interface, str] = {"grpc": "serving.grpc_launcher", "v2": "serving.mlserver.launcher"}


def interface_specification(
    release: Release, interface: Interface, config: SeldonClusterModelDeployerConfig
) -> Specification:
    """What answers for the version of a release by gRPC, or by the v2 protocol.

    Raises:
        UsageError: the model does not lie in S3, so that no pod can fetch it.
    """
    arm, plain = candidate_of(release), config.model_copy(update={"capture": False})
    whole = specification(release, arm, plain)
    [predictor] = whole.predictors
    [pods] = predictor.component_specs
    [container] = pods.spec.containers
    changed = _by_grpc(container) if interface == "grpc" else _by_v2(container, config)
    pod = pods.spec.model_copy(update={"containers": (changed,)})
    parts = (pods.model_copy(update={"spec": pod}),)
    update: dict[str, Any] = {"predictors": (predictor.model_copy(update={"component_specs": parts}),)}
    update |= {"transport": "grpc"} if interface == "grpc" else {"protocol": "v2"}
    return whole.model_copy(update=update)


class Interfaces:
    """The other ways to ask for what one cluster serves.

    Args:
        store: of the cluster.
        config: the settings, which name the interfaces of each environment.
    """

    def __init__(self, store: Store, config: SeldonClusterModelDeployerConfig) -> None:
        self._store, self._config = store, config

    def require_names(self, name: str, release: Release) -> None:
        """Check that a release can be asked in every way of its environment, before it goes live.

        Args:
            name: of the resource that is to serve it.
            release: names the environment.

        Raises:
            UsageError: something else has such a name.
            ServiceUnreachable: the cluster cannot be asked.
        """
        for interface in self._of(release):
            self._store.interface(f"{name}-{interface}")

    def follow(self, name: str, live: Kept | None) -> list[str]:
        """Make the other interfaces of a resource serve what is live there, or nothing.

        Args:
            name: of the resource.
            live: what is live there, or is to be taken for it.

        Returns:
            The names of those that had to be changed.

        Raises:
            ConflictError: another command changed one of them meanwhile.
            UsageError: something else has such a name.
            ServiceUnreachable: the cluster cannot be reached, or refuses it.
        """
        wanted = self._wanted(name, live)
        changed, taken = self._unwanted(name, wanted), list[UsageError]()
        for there in changed:
            self._store.remove_interface(there)
        for other, body in wanted.items():
            try:
                before = self._store.interface(other)
            except UsageError as error:  # the others follow all the same
                taken.append(error)
                continue
            if not _runs_as(before, body):
                self._store.put_interface(before, body)
                changed.append(other)
        if taken:
            raise taken[0]
        return changed

    def behind(self, live: Mapping[str, Kept]) -> set[str]:
        """The names of the resources whose other interfaces serve another version, are too many or too few.

        Only what answers counts, not with what settings: who merely looks restarts nothing for these.

        Args:
            live: what is live, by the resource's name.

        Raises:
            ServiceUnreachable: the cluster cannot be asked.
        """
        wanted = {
            f"{name}-{interface}": [predictor_name(candidate_of(kept.release))]
            for name, kept in live.items()
            for interface in self._of(kept.release)
        }
        there = {
            name: [predictor["name"] for predictor in body["spec"]["predictors"]]
            for name, body in self._store.interfaces().items()
        }
        names = wanted.keys() | there.keys()
        return {name.rpartition("-")[0] for name in names if wanted.get(name) != there.get(name)}

    def faults(self, name: str, live: Kept | None) -> Iterator[str]:
        """In which way the other interfaces of a resource do not answer as what is live, a sentence each.

        Raises:
            ServiceUnreachable: the cluster cannot be asked.
        """
        wanted, cluster = self._wanted(name, live), self._store.cluster
        for there in self._unwanted(name, wanted):
            yield (
                f"SeldonDeployment {there} serves, though nothing is live at {name}, or not by that "
                f"interface: kubectl --namespace {cluster.namespace} delete seldondeployment {there}"
            )
        if live is None:
            return
        version, environment = live.served[0], live.release.environment
        for other, body in wanted.items():
            try:
                before = self._store.interface(other)
            except UsageError as error:
                yield str(error)
                continue
            if not _runs_as(before, body):
                yield (
                    f"SeldonDeployment {other} does not run version {version}, which is live in "
                    f"{environment}, as this stack starts it: it was left behind, or changed past the "
                    f"deployer: python run.py --deploy --environment {environment} --version {version}"
                )
                continue
            pods = pods_of(cluster, other)
            if others := sorted({str(version_of(pod)) for pod in pods} - {str(version)}):
                yield (
                    f"At SeldonDeployment {other} version {', '.join(others)} still answers, and version "
                    f"{version}, which is live in {environment}, has not come up: "
                    f"{why_not_ready(cluster, other, version)}"
                )
            elif not any(is_ready(pod) for pod in pods):
                yield (
                    f"SeldonDeployment {other} does not answer yet: {why_not_ready(cluster, other, version)}"
                )

    def _of(self, release: Release) -> list[Interface]:
        """The interfaces of a release's environment besides REST."""
        asked = self._config.environment(release.environment).interfaces
        return [interface for interface in EXTRA if interface in asked]

    def _wanted(self, name: str, live: Kept | None) -> dict[str, Json]:
        """What the other interfaces of a resource are to be, by their names."""
        if live is None:
            return {}
        found = {f"{name}-{interface}": interface for interface in self._of(live.release)}
        return {other: self._resource(other, interface, live.release) for other, interface in found.items()}

    def _unwanted(self, name: str, wanted: Mapping[str, Json]) -> list[str]:
        """The names of a resource's other interfaces that are there and should not be."""
        there = self._store.interfaces()
        return [f"{name}-{one}" for one in EXTRA if f"{name}-{one}" in there.keys() - wanted.keys()]

    def _resource(self, name: str, interface: Interface, release: Release) -> Json:
        spec = interface_specification(release, interface, self._config)
        metadata = Metadata(
            name=name,
            namespace=self._store.cluster.namespace,
            labels={**MANAGED_BY, INTERFACE_LABEL: interface},
            annotations={DIGEST: json_digest(spec.as_json())},
        )
        return SeldonDeployment(metadata=metadata, spec=spec).as_json()


def _runs_as(there: Json | None, body: Json) -> bool:
    """Whether an interface was written as ``body`` and runs so: nobody changed it since past the deployer."""
    if there is None:
        return False
    written = (there["metadata"].get("annotations") or {}).get(DIGEST)
    same = written == body["metadata"]["annotations"][DIGEST]
    return same and programs(there["spec"]) == programs(body["spec"])


def _by_grpc(container: Container) -> Container:
    """The port named ``http`` becomes gRPC's; health is asked on the metrics port."""
    ports = (
        Port(name="grpc", container_port=PORTS.http),
        Port(name="metrics", container_port=PORTS.metrics),
    )
    return container.model_copy(
        update={
            "command": ("python", "-m", LAUNCHERS["grpc"]),
            "ports": ports,
            "liveness_probe": _asked(container.liveness_probe, "/health/ping", "metrics"),
            "readiness_probe": _asked(container.readiness_probe, "/health/status", "metrics"),
        }
    )


def _by_v2(container: Container, config: SeldonClusterModelDeployerConfig) -> Container:
    return container.model_copy(
        update={
            "image": config.v2_image,
            "command": ("python", "-m", LAUNCHERS["v2"]),
            "args": (*container.args, "--grpc-port", str(GRPC_PORT)),
            "liveness_probe": _asked(container.liveness_probe, "/v2/health/live", "http"),
            "readiness_probe": _asked(container.readiness_probe, "/v2/health/ready", "http"),
        }
    )


def _asked(probe: Probe | None, path: str, port: str) -> Probe | None:
    return probe and probe.model_copy(update={"http_get": HttpGet(path=path, port=port)})
