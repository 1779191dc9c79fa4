"""How a version becomes a specification: which image, told what, with which model, on how many replicas."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from materializers.errors import UsageError
from materializers.release import Arm, Environment, Release
from serving.launching import LAUNCHER, launcher_arguments
from stacks.seldon_deployer.flavor import Probes, SeldonClusterModelDeployerConfig, StagingSettings
from stacks.seldon_deployer.resource import (
    ALL_TRAFFIC,
    NO_ENGINE,
    Component,
    ComponentMetadata,
    Container,
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
    SecretKey,
    Specification,
    Variable,
    VariableSource,
    Volume,
)
from stacks.served import require_model_name

MANAGED_BY = {"app.kubernetes.io/managed-by": "shutterline"}
"""The label of everything that this deployer made."""
UNIT = "classifier"
MODEL_FOLDER = "/mnt/models"
HTTP_PORT, METRICS_PORT = 9000, 6000
# Seldon makes names of the resource's, the predictor's and more; with 63 characters they stay legible.
NAME_LENGTH = 45
DIGEST_LENGTH = 8
SERVING_USER = 1000  # of serving/Dockerfile
# What the launcher gives requests in flight (30 s), and what Seldon waits before it is asked to end (10 s).
TERMINATION_GRACE_S = 45
PROBE_TIMEOUT_S = 5
S3 = "s3://"


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
    pod = PodSpecification(
        init_containers=(_fetch(arm, config),),
        containers=(_serve(release, arm, config, settings),),
        volumes=(Volume(name="model"), Volume(name="scratch")),
        security_context=PodSecurity(
            run_as_user=SERVING_USER, run_as_group=SERVING_USER, fs_group=SERVING_USER
        ),
        termination_grace_period_seconds=TERMINATION_GRACE_S,
    )
    labels = {**MANAGED_BY, "shutterline/version": str(arm.version)}
    component = Component(
        metadata=ComponentMetadata(labels=labels), spec=pod, hpa_spec=_autoscaling(settings)
    )
    predictor = Predictor(
        name=predictor_name(arm),
        annotations={NO_ENGINE: "true"},
        graph=Graph(name=UNIT),
        component_specs=(component,),
        replicas=None if settings.autoscaling else settings.replicas,
        traffic=ALL_TRAFFIC,
        progress_deadline_seconds=int(config.ready_timeout_s) or 1,
    )
    return Specification(predictors=(predictor,))


def as_kept(
    kept: Mapping[str, Any] | None, release: Release, arm: Arm, config: SeldonClusterModelDeployerConfig
) -> Specification | None:
    """A specification that was kept, if it serves ``arm`` as today's would; None where it does not.

    Its images are what checks the model's digest, so whatever is started from it has to be what this deployer
    would start: the same commands, arguments, variables and mounts, and images of the same repositories. What
    settings change from time to time may differ: image tags, replicas, resources, times.

    Args:
        kept: as :meth:`Specification.as_json` wrote it, by whomever.
        release: the release that it is kept of; ``arm`` is its candidate.
        arm: the version.
        config: today's settings.

    Raises:
        UsageError: the model does not lie in S3, so that no pod can fetch it.
    """
    try:
        found = Specification.model_validate(kept)
    except ValidationError:
        return None
    return found if _what_starts(found) == _what_starts(specification(release, arm, config)) else None


def _what_starts(made: Specification) -> dict[str, Any]:
    """A specification without what settings change from time to time."""
    content = made.as_json()
    for predictor in content["predictors"]:
        predictor.pop("replicas", None)
        predictor.pop("progressDeadlineSeconds")
        for component in predictor["componentSpecs"]:
            component.pop("hpaSpec", None)
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
            "graph": _set(predictor.get("graph") or {}, ("name", "children", "implementation", "modelUri")),
            "pods": [_pod(component["spec"]) for component in predictor.get("componentSpecs") or ()],
        }
        for predictor in specification["predictors"]
    ]


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
    release: Release, arm: Arm, config: SeldonClusterModelDeployerConfig, settings: StagingSettings
) -> Container:
    gpus = {"nvidia.com/gpu": str(settings.gpus)} if settings.gpus else {}
    return Container(
        name=UNIT,
        image=config.image,
        command=("python", *LAUNCHER),
        args=tuple(
            launcher_arguments(
                model_name=release.model_name,
                model_version=str(arm.version),
                model_directory=MODEL_FOLDER,
                model_digest=arm.model_digest,
                host="0.0.0.0",  # noqa: S104 - of the pod, whose network is the cluster's
                port=HTTP_PORT,
                metrics_port=METRICS_PORT,
                max_body_bytes=config.max_body_bytes,
            )
        ),
        ports=(
            Port(name="http", container_port=HTTP_PORT),
            Port(name="metrics", container_port=METRICS_PORT),
        ),
        resources=Resources(
            requests={"cpu": settings.cpu_request, "memory": settings.memory_request, **gpus},
            limits={"cpu": settings.cpu_limit, "memory": settings.memory_limit, **gpus},
        ),
        volume_mounts=(
            Mount(name="model", mount_path=MODEL_FOLDER, read_only=True),
            Mount(name="scratch", mount_path="/tmp"),  # noqa: S108 - a folder of the pod alone
        ),
        liveness_probe=_live(settings.probes),
        readiness_probe=_ready(settings.probes),
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
            "serves what was trained on its own stack: python run.py --train"
        )
    options = {
        "RCLONE_S3_PROVIDER": "Other" if config.s3_endpoint else "AWS",
        "RCLONE_S3_ENV_AUTH": "true",
        "RCLONE_S3_REGION": config.s3_region,
        **({"RCLONE_S3_ENDPOINT": config.s3_endpoint} if config.s3_endpoint else {}),
    }
    keys = [
        Variable(
            name=key, value_from=VariableSource(secret_key_ref=SecretKey(name=config.s3_secret, key=key))
        )
        for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    ]
    return Container(
        name="fetch-model",
        image=config.storage_initializer_image,
        args=("copy", f":s3:{arm.model_uri.removeprefix(S3)}", MODEL_FOLDER, "--config=", "--retries=3"),
        env=(*(Variable(name=name, value=value) for name, value in options.items()), *keys),
        resources=Resources(
            requests={"cpu": "100m", "memory": "128M"}, limits={"cpu": "1", "memory": "512M"}
        ),
        volume_mounts=(
            Mount(name="model", mount_path=MODEL_FOLDER),
            Mount(name="scratch", mount_path="/tmp"),  # noqa: S108 - a folder of the pod alone
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
