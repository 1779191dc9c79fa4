"""The other ways to ask for the live release: gRPC and the v2 protocol, a SeldonDeployment of its own each.

They follow what is live: another version when that goes live, gone when nothing is. Nobody waits until they
have come up, and a candidate that rolls out has none. Their pods, and the memory that these take, are their
own, as many as those of the release. They capture nothing: a champion that some ask by gRPC, and a candidate
that nobody can, would not be compared on the same traffic.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, get_args

from materializers.release import Release
from materializers.report import json_digest
from stacks.seldon_deployer.cluster import ConflictError
from stacks.seldon_deployer.flavor import Interface, SeldonClusterModelDeployerConfig
from stacks.seldon_deployer.manifest import MANAGED_BY, PORTS, specification
from stacks.seldon_deployer.resource import (
    Container,
    HttpGet,
    Metadata,
    Port,
    Probe,
    SeldonDeployment,
    Specification,
)
from stacks.seldon_deployer.state import State
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


def follow(store: Store, name: str, state: State, config: SeldonClusterModelDeployerConfig) -> None:
    """Make the other interfaces of a resource serve what is live there, or nothing.

    Raises:
        UsageError: somebody else made a SeldonDeployment of such a name.
        ServiceUnreachable: the cluster cannot be reached, or refuses it.
    """
    live = state.live
    for interface in EXTRA:
        wanted = live and interface in config.environment(live.release.environment).interfaces
        body = _resource(store, name, interface, live.release, config) if live and wanted else None
        # Another command writes them too, and after the last one they are right.
        with suppress(ConflictError):
            store.put_interface(f"{name}-{interface}", body, digest_key=DIGEST)


def _resource(
    store: Store, name: str, interface: Interface, release: Release, config: SeldonClusterModelDeployerConfig
) -> dict[str, Any]:
    spec = interface_specification(release, interface, config)
    metadata = Metadata(
        name=f"{name}-{interface}",
        namespace=store.cluster.namespace,
        labels={**MANAGED_BY, INTERFACE_LABEL: interface},
        annotations={DIGEST: json_digest(spec.as_json())},
    )
    return SeldonDeployment(metadata=metadata, spec=spec).as_json()


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
