"""How a version becomes a specification: which image, told what, with which model, on how many replicas."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from materializers.errors import UsageError
from materializers.release import Arm, Environment, Release
from serving.capture_options import CaptureSettings, capture_arguments
from serving.launching import LAUNCHER, launcher_arguments
from serving.part_store import S3
from stacks.seldon_deployer.flavor import Probes, SeldonClusterModelDeployerConfig, StagingSettings
from stacks.seldon_deployer.resource import (
    ALL_TRAFFIC,
    NO_ENGINE,
    S3_KEYS,
    Component,
    ComponentMetadata,
    Container,
    EmptyDirectory,
    Graph,
    HpaSpecification,
    HttpGet,
    Metric,
    MetricTarget,
    Mount,
    PodSecurity,
    PodSpecification,
    Port,
    Predictor,
    Probe,
    ResourceMetric,
    Resources,
    SecretItem,
    SecretVolume,
    Specification,
    Variable,
    Volume,
    secret_variables,
)
from stacks.seldon_deployer.shipper import SELDON_WAITS_S, SPOOL, SPOOL_FOLDER, shipper
from stacks.served import require_model_name

MANAGED_BY = {"app.kubernetes.io/managed-by": "shutterline"}
"""The label of everything that this deployer made."""
VERSION_LABEL = "shutterline/version"
"""Of pods that serve a version, which it is."""
UNIT = "classifier"
MODEL_FOLDER = "/mnt/models"
TOKEN, TOKEN_FOLDER, TOKEN_KEY = "token", "/mnt/token", "token"
TOKEN_FILE = f"{TOKEN_FOLDER}/{TOKEN_KEY}"
SCRATCH = Mount(name="scratch", mount_path="/tmp")  # noqa: S108 - a folder of the pod alone
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - of the pod, whose network is the cluster's
# Seldon makes names of the resource's, the predictor's and more; with 63 characters they stay legible.
NAME_LENGTH = 45
DIGEST_LENGTH = 8
SERVING_USER = 1000  # of serving/Dockerfile
# After Seldon's own wait the launcher gives requests in flight 30 s, then the shipper ships what is left.
TERMINATION_GRACE_S = SELDON_WAITS_S + 50
PROBE_TIMEOUT_S = 5


class Ports(NamedTuple):
    """Where a container listens; Seldon gives the units of one predictor ports from 9000 and 6000 on."""

    http: int
    metrics: int


PORTS = Ports(9000, 6000)


def resource_name(model_name: str, environment: Environment) -> str:
    """The stable name of a model's SeldonDeployment; a DNS label, different for every model.

    Raises:
        UsageError: the model's name cannot be part of a URL.
    """
    whole = f"{environment}-{require_model_name(model_name)}"
    plain = re.sub(r"[^a-z0-9]+", "-", whole.lower()).strip("-")
    if plain == whole and len(plain) <= NAME_LENGTH:
        return plain
    digest = hashlib.sha256(whole.encode()).hexdigest()[:DIGEST_LENGTH]
    return f"{plain[: NAME_LENGTH - DIGEST_LENGTH - 1].rstrip('-')}-{digest}"


def predictor_name(arm: Arm) -> str:
    """The name of a version's predictor; other bytes, another one, so that no pod changes its model."""
    return f"v{arm.version}-{arm.model_digest[:DIGEST_LENGTH]}"


def specification(release: Release, arm: Arm, config: SeldonClusterModelDeployerConfig) -> Specification:
    """What serves ``arm`` with all the traffic.

    Raises:
        UsageError: the model does not lie in S3, so that no pod can fetch it.
    """
    settings = config.environment(release.environment)
    predictor = Predictor(
        name=predictor_name(arm),
        annotations={NO_ENGINE: "true"},
        graph=Graph(name=UNIT),
        component_specs=(component(release, arm, config),),
        replicas=None if settings.autoscaling else settings.replicas,
        traffic=ALL_TRAFFIC,
        progress_deadline_seconds=progress_deadline_s(config),
    )
    return Specification(predictors=(predictor,))


def component(
    release: Release,
    arm: Arm,
    config: SeldonClusterModelDeployerConfig,
    *,
    unit: str = UNIT,
    ports: Ports = PORTS,
    labels: Mapping[str, str] | None = None,
) -> Component:
    """The pods that serve ``arm``; where they capture, each with a shipper of its own.

    Args:
        release: whose environment and model name they have.
        arm: the version.
        config: the settings.
        unit: of the graph; the container's name.
        ports: where the container listens.
        labels: more of them.

    Raises:
        UsageError: the model does not lie in S3, so that no pod can fetch it, or what is captured would not.
    """
    settings = config.environment(release.environment)
    capture = config.capture_settings(release.environment, Path(SPOOL_FOLDER))
    serving = _serve(release, arm, config, settings, unit=unit, ports=ports, capture=capture)
    beside = () if capture is None else (shipper(config, SCRATCH),)
    pod = pod_of(config, serving, *beside, before=(_fetch(arm, config),))
    known = {**MANAGED_BY, VERSION_LABEL: str(arm.version), **(labels or {})}
    metadata = ComponentMetadata(labels=known, annotations=scraped(ports))
    return Component(metadata=metadata, spec=pod, hpa_spec=_autoscaling(settings))


def scraped(ports: Ports) -> dict[str, str]:
    """By which annotations of a pod the usual scrape jobs of a cluster's Prometheus ask it for metrics."""
    return {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(ports.metrics),
        "prometheus.io/path": "/metrics",
    }


def pod_of(
    config: SeldonClusterModelDeployerConfig, *containers: Container, before: tuple[Container, ...] = ()
) -> PodSpecification:
    """A pod of containers, with others that run to their end before these start."""
    secret = SecretVolume(secret_name=config.token_secret, items=(SecretItem(key=TOKEN_KEY, path=TOKEN_KEY),))
    mounted = {mount.name for container in (*before, *containers) for mount in container.volume_mounts}
    return PodSpecification(
        init_containers=before,
        containers=containers,
        volumes=(
            *(Volume(name=name, empty_dir=EmptyDirectory()) for name in sorted(mounted - {TOKEN})),
            Volume(name=TOKEN, secret=secret),
        ),
        security_context=PodSecurity(
            run_as_user=SERVING_USER, run_as_group=SERVING_USER, fs_group=SERVING_USER
        ),
        termination_grace_period_seconds=TERMINATION_GRACE_S,
    )


def progress_deadline_s(config: SeldonClusterModelDeployerConfig) -> int:
    """How long Kubernetes gives new pods, in whole seconds."""
    return int(config.ready_timeout_s) or 1


def as_kept(kept: Mapping[str, Any] | None, wanted: Specification) -> Specification | None:
    """A specification that was kept, if it serves what today's would; None where it does not.

    Its images are what checks the model's digest, so whatever is started from it has to be what this deployer
    would start: the same commands, arguments, variables and mounts, and images of the same repositories. What
    settings change from time to time may differ: image tags, replicas, resources, times.

    Args:
        kept: as :meth:`Specification.as_json` wrote it, by whomever.
        wanted: today's.
    """
    try:
        found = Specification.model_validate(kept)
    except ValidationError:
        return None
    return found if _what_starts(found) == _what_starts(wanted) else None


def _what_starts(made: Specification) -> dict[str, Any]:
    """A specification without what settings change from time to time."""
    content = made.as_json()
    for predictor in content["predictors"]:
        predictor.pop("replicas", None)
        predictor.pop("progressDeadlineSeconds")
        for component in predictor["componentSpecs"]:
            component.pop("hpaSpec", None)
            component.pop("replicas", None)
            component["metadata"].pop("annotations", None)  # they start nothing
            for container in (*component["spec"]["initContainers"], *component["spec"]["containers"]):
                container["image"] = _repository(container["image"])
                container.pop("resources")
                for probe in ("livenessProbe", "readinessProbe"):
                    if probe in container:
                        container[probe] = container[probe]["httpGet"]
    return content


def programs(specification: Mapping[str, Any]) -> list[Any]:
    """Which programs a specification has run, on what, and with which share of the traffic.

    What it leaves out may be filled in by Kubernetes and Seldon, is changed by autoscalers, or decides only
    how the programs are kept alive.

    Args:
        specification: as :meth:`Specification.as_json` wrote it, or as the cluster has it by now.
    """
    return [
        {
            **_set(predictor, ("name", "traffic", "shadow", "explainer", "svcOrchSpec", "transformer")),
            "engine": NO_ENGINE not in (predictor.get("annotations") or {}),
            "graph": _graph(predictor.get("graph") or {}),
            "pods": [_pod(component["spec"]) for component in predictor.get("componentSpecs") or ()],
        }
        for predictor in specification["predictors"]
    ]


def _graph(unit: Mapping[str, Any]) -> dict[str, Any]:
    said = _set(unit, ("name", "implementation", "modelUri"))
    children = [_graph(child) for child in unit.get("children") or ()]
    # A type that is not told is a model's.
    return {**said, "type": unit.get("type") or "MODEL", "children": children}


def _pod(pod: Mapping[str, Any]) -> dict[str, Any]:
    told = ("name", "image", "command", "args", "workingDir", "env", "envFrom", "volumeMounts", "lifecycle")
    kinds = ("initContainers", "containers")
    containers = {kind: [_set(container, told) for container in pod.get(kind) or ()] for kind in kinds}
    return {**containers, "volumes": pod.get("volumes") or []}


def _set(content: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """These keys, as far as they say anything."""
    unset: tuple[Any, ...] = (None, False, "", [], {}, "UNKNOWN_IMPLEMENTATION")
    return {key: content[key] for key in keys if content.get(key) not in unset}


def _repository(image: str) -> str:
    """An image without its tag and digest; a registry's port stays."""
    return re.sub(r":[^:/]*$", "", image.partition("@")[0])


def _serve(
    release: Release,
    arm: Arm,
    config: SeldonClusterModelDeployerConfig,
    settings: StagingSettings,
    *,
    unit: str,
    ports: Ports,
    capture: CaptureSettings | None,
) -> Container:
    gpus = {"nvidia.com/gpu": str(settings.gpus)} if settings.gpus else {}
    arguments = launcher_arguments(
        model_name=release.model_name,
        model_version=str(arm.version),
        model_directory=MODEL_FOLDER,
        model_digest=arm.model_digest,
        host=EVERY_ADDRESS,
        port=ports.http,
        metrics_port=ports.metrics,
        max_body_bytes=config.max_body_bytes,
        token_file=TOKEN_FILE,
    )
    resources = Resources(
        requests={"cpu": settings.cpu_request, "memory": settings.memory_request, **gpus},
        limits={"cpu": settings.cpu_limit, "memory": settings.memory_limit, **gpus},
    )
    if capture is not None:
        arguments += capture_arguments(capture)
    mounts = [Mount(name="model", mount_path=MODEL_FOLDER, read_only=True), *([SPOOL] if capture else [])]
    return server(
        unit, LAUNCHER, arguments, config, ports=ports, resources=resources, probes=settings.probes
    ).with_mounts(*mounts)


def server(
    unit: str,
    launcher: tuple[str, str],
    arguments: Sequence[str],
    config: SeldonClusterModelDeployerConfig,
    *,
    ports: Ports,
    resources: Resources,
    probes: Probes,
) -> Container:
    """A container of the serving image that answers Seldon's internal API, to whoever has the token.

    Args:
        unit: of the graph; the container's name.
        launcher: the module that Python starts, after ``-m``.
        arguments: what it is told.
        config: the settings.
        ports: where it listens.
        resources: what it is given, and what it may take.
        probes: when it is asked whether it lives, and whether it is ready.
    """
    return Container(
        name=unit,
        image=config.image,
        command=("python", *launcher),
        args=tuple(arguments),
        ports=(
            Port(name="http", container_port=ports.http),
            Port(name="metrics", container_port=ports.metrics),
        ),
        resources=resources,
        volume_mounts=(
            SCRATCH,
            Mount(name=TOKEN, mount_path=TOKEN_FOLDER, read_only=True),
        ),
        liveness_probe=_live(probes),
        readiness_probe=_ready(probes),
    )


def _live(probes: Probes) -> Probe:
    return Probe(
        http_get=HttpGet(path="/health/ping", port="http"),
        initial_delay_seconds=probes.live_after_s,
        period_seconds=probes.live_every_s,
        timeout_seconds=PROBE_TIMEOUT_S,
    )


def _ready(probes: Probes) -> Probe:
    return Probe(
        http_get=HttpGet(path="/health/status", port="http"),
        initial_delay_seconds=probes.ready_after_s,
        period_seconds=probes.ready_every_s,
        timeout_seconds=PROBE_TIMEOUT_S,
    )


def _fetch(arm: Arm, config: SeldonClusterModelDeployerConfig) -> Container:
    """Copies the model directory out of S3; the keys are Kubernetes' secret, never a text of ours."""
    if not arm.model_uri.startswith(S3):
        raise UsageError(
            f"The model of version {arm.version} lies at {arm.model_uri}, which no pod can read; a cluster "
            "serves what was trained on its own stack: python run.py --train --source PATH"
        )
    options = {
        "RCLONE_S3_PROVIDER": "Other" if config.s3_endpoint else "AWS",
        "RCLONE_S3_ENV_AUTH": "true",
        "RCLONE_S3_REGION": config.s3_region,
        **({"RCLONE_S3_ENDPOINT": config.s3_endpoint} if config.s3_endpoint else {}),
    }
    return Container(
        name="fetch-model",
        image=config.storage_initializer_image,
        args=("copy", f":s3:{arm.model_uri.removeprefix(S3)}", MODEL_FOLDER, "--config=", "--retries=3"),
        env=(
            *(Variable(name=name, value=value) for name, value in options.items()),
            *secret_variables(config.s3_secret, S3_KEYS),
        ),
        resources=Resources(
            requests={"cpu": "100m", "memory": "128M"}, limits={"cpu": "1", "memory": "512M"}
        ),
        volume_mounts=(
            Mount(name="model", mount_path=MODEL_FOLDER),
            SCRATCH,
        ),
    )


def _autoscaling(settings: StagingSettings) -> HpaSpecification | None:
    scale = settings.autoscaling
    if scale is None:
        return None
    return HpaSpecification(
        min_replicas=settings.replicas,
        max_replicas=scale.maximum,
        metricsv2=(
            _metric("cpu", scale.cpu_percent),
            _metric("memory", scale.memory_percent),
        ),
    )


def _metric(name: str, percent: int) -> Metric:
    return Metric.model_validate(
        {"resource": ResourceMetric(name=name, target=MetricTarget(average_utilization=percent))}
    )
