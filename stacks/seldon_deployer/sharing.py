"""How two versions share the traffic of one SeldonDeployment, and how many replicas each starts with.

``canary`` and ``shadow`` are a second predictor beside the champion's, which stays as it is: the ingress
gives the one its share of the requests, the other a copy of each. ``ab`` is one predictor in the place of the
champion's: a router of ours (:mod:`serving.router`) in front of both versions, which chooses by the request's
key. Seldon leads requests from the router to a version with its engine, which our other predictors do without
(see :data:`.resource.NO_ENGINE`); what follows from that stands in :mod:`serving.router`. Pods do not change
their predictor, so that an A/B test begins and ends as a full release does: the new pods come up first.
"""

from __future__ import annotations

import hashlib
import math

from materializers.errors import UsageError
from materializers.release import Arm, Release
from serving.router import ROUTER_LAUNCHER, router_arguments
from stacks.seldon_deployer.flavor import SeldonClusterModelDeployerConfig
from stacks.seldon_deployer.manifest import (
    DIGEST_LENGTH,
    EVERY_ADDRESS,
    MANAGED_BY,
    PORTS,
    TOKEN_FILE,
    Ports,
    component,
    pod_of,
    predictor_name,
    progress_deadline_s,
    server,
)
from stacks.seldon_deployer.resource import (
    ALL_TRAFFIC,
    Component,
    ComponentMetadata,
    Graph,
    Predictor,
    Resources,
    Specification,
)
from stacks.served import candidate_of, require_share

ROUTER = "router"
PREDICTOR_LABEL = "shutterline/predictor"
"""Of the pods of an A/B test, whose versions may have pods of another predictor at the same time."""
ROUTER_RESOURCES = Resources(
    requests={"cpu": "250m", "memory": "256M"}, limits={"cpu": "1", "memory": "512M"}
)
NEARLY_WHOLE = 1e-9
REPLICAS_OF_A_CANDIDATE = 2
"""So that a candidate answers on while a pod of it is replaced."""


def percent(release: Release) -> int:
    """The candidate's share in percent, which is all that Seldon's weights can say.

    Raises:
        UsageError: the mode cannot have such a share, or it is no whole percent.
    """
    share = require_share(release) * ALL_TRAFFIC
    if abs(share - round(share)) > NEARLY_WHOLE:
        raise UsageError(
            f"A share of {release.share:g} is no whole percent, and a cluster gives traffic in whole ones: "
            "correct the configuration's release"
        )
    return round(share)


def replicas_for(release: Release, config: SeldonClusterModelDeployerConfig) -> int:
    """How many replicas a candidate starts with: as its part of the requests is of the champion's, and two.

    One is enough where the environment itself may come down to one. A shadow gets a copy of each request.
    """
    settings = config.environment(release.environment)
    part = 1.0 if release.mode == "shadow" else release.share
    least = min(REPLICAS_OF_A_CANDIDATE, settings.scaling[0])
    return max(least, math.ceil(settings.replicas * part - NEARLY_WHOLE))


def beside(
    champion: Predictor, candidate: Predictor, release: Release, config: SeldonClusterModelDeployerConfig
) -> Specification:
    """The champion's predictor as it is, and the candidate's beside it, with its share or as a shadow.

    Args:
        champion: what serves alone.
        candidate: what could.
        release: the candidate's, in mode ``canary`` or ``shadow``.
        config: the settings.

    Raises:
        UsageError: its share is none that a cluster can give.
    """
    share = percent(release)
    shadow = True if release.mode == "shadow" else None
    part = candidate.starting_with(replicas_for(release, config))
    return Specification(
        predictors=(
            champion.model_copy(update={"traffic": ALL_TRAFFIC - share}),
            part.model_copy(update={"traffic": share, "shadow": shadow}),
        )
    )


def alone(candidate: Predictor, replicas: int) -> Specification:
    """A predictor that had a share, with all the traffic; its pods stay."""
    part = candidate.starting_with(replicas)
    return Specification(predictors=(part.model_copy(update={"traffic": ALL_TRAFFIC, "shadow": None}),))


def routed(release: Release, champion: Arm, config: SeldonClusterModelDeployerConfig) -> Specification:
    """One predictor whose router gives each request key to the champion or to the candidate, for good.

    Args:
        release: the candidate's, in mode ``ab``.
        champion: what it is compared with.
        config: the settings.

    Raises:
        UsageError: its share is none that a cluster can give, or a model does not lie in S3.
    """
    share = percent(release) / ALL_TRAFFIC
    settings, name = config.environment(release.environment), ab_name(release, champion)
    counts = (settings.replicas, replicas_for(release, config))
    arms = [
        _arm(release, arm, config, place, name=name, count=count)
        for place, (arm, count) in enumerate(zip((champion, candidate_of(release)), counts, strict=True))
    ]
    container = server(
        ROUTER,
        ROUTER_LAUNCHER,
        router_arguments(
            host=EVERY_ADDRESS,
            port=PORTS.http,
            metrics_port=PORTS.metrics,
            share=share,
            token_file=TOKEN_FILE,
        ),
        config,
        ports=PORTS,
        resources=ROUTER_RESOURCES,
        probes=settings.probes,
    )
    labels = {**MANAGED_BY, PREDICTOR_LABEL: name}
    # The first component's pods get Seldon's engine. Autoscaling would need to know what that requests.
    router = Component(
        metadata=ComponentMetadata(labels=labels), spec=pod_of(config, container), replicas=settings.replicas
    )
    children = tuple(Graph(name=predictor_name(arm)) for arm in (champion, candidate_of(release)))
    predictor = Predictor(
        name=name,
        annotations={},
        graph=Graph(name=ROUTER, type="ROUTER", children=children),
        component_specs=(router, *arms),
        traffic=ALL_TRAFFIC,
        progress_deadline_seconds=progress_deadline_s(config),
    )
    return Specification(predictors=(predictor,))


def ab_name(release: Release, champion: Arm) -> str:
    """The name of the predictor that compares two versions; other bytes of either, another one."""
    candidate = candidate_of(release)
    both = hashlib.sha256(f"{champion.model_digest}{candidate.model_digest}".encode()).hexdigest()
    return f"ab-v{candidate.version}-{both[:DIGEST_LENGTH]}"


def _arm(
    release: Release,
    arm: Arm,
    config: SeldonClusterModelDeployerConfig,
    place: int,
    *,
    name: str,
    count: int,
) -> Component:
    """The pods of one version, as a unit of the graph that is called as its own predictor would be."""
    ports = Ports(PORTS.http + 1 + place, PORTS.metrics + 1 + place)
    pods = component(
        release, arm, config, unit=predictor_name(arm), ports=ports, labels={PREDICTOR_LABEL: name}
    )
    if pods.hpa_spec is None:
        return pods.model_copy(update={"replicas": count})
    return pods.with_least_replicas(count)
