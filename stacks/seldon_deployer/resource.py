"""The part of ``SeldonDeployment`` (machinelearning.seldon.io/v1) that we use, as types that know their keys.

They are checked by the rules of Seldon's webhook before anything is sent, so that what it would refuse is
said without a cluster.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

GROUP, VERSION, KIND, PLURAL = "machinelearning.seldon.io", "v1", "SeldonDeployment", "seldondeployments"
ALL_TRAFFIC = 100
NO_ENGINE = "seldon.io/no-engine"
"""An annotation of a predictor: requests reach our container, without Seldon's orchestrator in between, which
does not pass ``/health/status`` on. A graph of several units needs it."""
S3_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
"""The keys of the secret by which pods reach the bucket, and the variables that they are given as."""


class KubernetesType(BaseModel):
    """Named as Python does here, as Kubernetes does in JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)

    def as_json(self) -> dict[str, Any]:
        """What Kubernetes is sent: nothing that is not set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class SecretKey(KubernetesType):
    """One key of a Kubernetes secret."""

    name: str
    key: str


class VariableSource(KubernetesType):
    """Where a variable's value comes from."""

    secret_key_ref: SecretKey


class Variable(KubernetesType):
    """A variable of a container's environment: its value, or where that comes from."""

    name: str
    value: str | None = None
    value_from: VariableSource | None = None


def secret_variables(secret: str, keys: Sequence[str]) -> tuple[Variable, ...]:
    """Keys of a Kubernetes secret, each as the variable of its name."""
    return tuple(
        Variable(name=key, value_from=VariableSource(secret_key_ref=SecretKey(name=secret, key=key)))
        for key in keys
    )


class Mount(KubernetesType):
    """Where a container sees a volume."""

    name: str
    mount_path: str
    read_only: bool | None = None


class EmptyDirectory(KubernetesType):
    """A folder that lives as long as its pod."""


class SecretItem(KubernetesType):
    """A key of a secret, as a file."""

    key: str
    path: str


class SecretVolume(KubernetesType):
    """A secret's keys as files, which the pod's group may read."""

    secret_name: str
    items: tuple[SecretItem, ...]
    default_mode: int = 0o440


class Volume(KubernetesType):
    """A volume of a pod: an empty folder, or a secret."""

    name: str
    empty_dir: EmptyDirectory | None = None
    secret: SecretVolume | None = None


class Resources(KubernetesType):
    """What a container is given, and what it may take."""

    requests: dict[str, str]
    limits: dict[str, str]


class HttpGet(KubernetesType):
    """A question to a container's port."""

    path: str
    port: str


class Probe(KubernetesType):
    """A question that Kubernetes asks again and again."""

    http_get: HttpGet
    initial_delay_seconds: int
    period_seconds: int
    timeout_seconds: int


class Port(KubernetesType):
    """A port of a container."""

    name: str
    container_port: int
    protocol: Literal["TCP"] = "TCP"


class Capabilities(KubernetesType):
    """What root could do that the container cannot."""

    drop: tuple[str, ...] = ("ALL",)


class ContainerSecurity(KubernetesType):
    """No root, no way to become it, nothing to write but what is mounted."""

    allow_privilege_escalation: Literal[False] = False
    read_only_root_filesystem: Literal[True] = True
    run_as_non_root: Literal[True] = True
    capabilities: Capabilities = Capabilities()


class Execution(KubernetesType):
    """A command that is run in a container."""

    command: tuple[str, ...]


class Handler(KubernetesType):
    """What is done at a turn of a container's life."""

    exec: Execution


class Lifecycle(KubernetesType):
    """What is done before a container is asked to end."""

    pre_stop: Handler


class Container(KubernetesType):
    """One container of a pod."""

    name: str
    image: str
    command: tuple[str, ...] | None = None
    args: tuple[str, ...]
    env: tuple[Variable, ...] = ()
    ports: tuple[Port, ...] | None = None
    resources: Resources
    volume_mounts: tuple[Mount, ...]
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    lifecycle: Lifecycle | None = None
    security_context: ContainerSecurity = ContainerSecurity()
    # The end of the log becomes the reason that the pod gives.
    termination_message_policy: Literal["FallbackToLogsOnError"] = "FallbackToLogsOnError"

    def with_mounts(self, *mounts: Mount) -> Container:
        """The same, with more volumes in sight."""
        return self.model_copy(update={"volume_mounts": (*mounts, *self.volume_mounts)})


class SeccompProfile(KubernetesType):
    """Which system calls there are."""

    type: Literal["RuntimeDefault"] = "RuntimeDefault"


class PodSecurity(KubernetesType):
    """Whose processes they are."""

    run_as_non_root: Literal[True] = True
    run_as_user: int
    run_as_group: int
    fs_group: int
    seccomp_profile: SeccompProfile = SeccompProfile()


class PodSpecification(KubernetesType):
    """What a replica consists of."""

    init_containers: tuple[Container, ...]
    containers: tuple[Container, ...] = Field(min_length=1)
    volumes: tuple[Volume, ...]
    security_context: PodSecurity
    # Nothing in the pod speaks to Kubernetes.
    automount_service_account_token: Literal[False] = False
    termination_grace_period_seconds: int


class MetricTarget(KubernetesType):
    """A share of what was requested, in percent."""

    type: Literal["Utilization"] = "Utilization"
    average_utilization: int


class ResourceMetric(KubernetesType):
    """CPU or memory."""

    name: Literal["cpu", "memory"]
    target: MetricTarget


class Metric(KubernetesType):
    """What the number of replicas follows."""

    type: Literal["Resource"] = "Resource"
    resource: ResourceMetric


class HpaSpecification(KubernetesType):
    """Between how many replicas Kubernetes chooses, and by what."""

    min_replicas: int
    max_replicas: int
    metricsv2: tuple[Metric, ...]


class ComponentMetadata(KubernetesType):
    """Labels of the pods, and what others read of them."""

    labels: dict[str, str]
    annotations: dict[str, str] = Field(default_factory=dict)


class Component(KubernetesType):
    """The pods of a predictor."""

    metadata: ComponentMetadata
    spec: PodSpecification
    hpa_spec: HpaSpecification | None = None
    # Of this component alone; else the predictor's number counts.
    replicas: int | None = None

    def with_least_replicas(self, count: int) -> Component:
        """The same, autoscaled from ``count`` replicas on, or from its most where that is less."""
        if self.hpa_spec is None:
            return self
        least = min(count, self.hpa_spec.max_replicas)
        return self.model_copy(update={"hpa_spec": self.hpa_spec.model_copy(update={"min_replicas": least})})


class Graph(KubernetesType):
    """What a request passes through: a model, or a router that chooses one of its children."""

    name: str
    type: Literal["MODEL", "ROUTER"] = "MODEL"
    children: tuple[Graph, ...] | None = None

    def units(self) -> Iterator[Graph]:
        """The unit and all below it."""
        yield self
        for child in self.children or ():
            yield from child.units()


class Predictor(KubernetesType):
    """One version that serves: all the traffic, or its share of it."""

    name: str
    annotations: dict[str, str]
    graph: Graph
    component_specs: tuple[Component, ...] = Field(min_length=1)
    # Left out where the number is Kubernetes' to choose: it would be reset each time.
    replicas: int | None = None
    traffic: int = Field(ge=0, le=ALL_TRAFFIC)
    shadow: bool | None = None
    progress_deadline_seconds: int

    def with_least_replicas(self, count: int) -> Predictor:
        """The same, autoscaled from ``count`` replicas on; unchanged where it is not autoscaled."""
        components = tuple(one.with_least_replicas(count) for one in self.component_specs)
        return self.model_copy(update={"component_specs": components})

    @property
    def least_replicas(self) -> int:
        """How many it starts with."""
        scaled = [one.hpa_spec.min_replicas for one in self.component_specs if one.hpa_spec]
        return max(scaled, default=self.replicas or 1)

    def starting_with(self, count: int) -> Predictor:
        """The same with ``count`` replicas, or autoscaled from so many on."""
        fixed = self if self.replicas is None else self.model_copy(update={"replicas": count})
        return fixed.with_least_replicas(count)


class Specification(KubernetesType):
    """What is served: one predictor, or two that share the traffic."""

    protocol: Literal["seldon", "v2"] = "seldon"
    transport: Literal["grpc"] | None = None
    predictors: tuple[Predictor, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _as_the_webhook_wants(self) -> Specification:
        problems = webhook_problems(self)
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def with_least_replicas(self, count: int) -> Specification:
        """The same, autoscaled from ``count`` replicas on; unchanged where it is not autoscaled."""
        predictors = tuple(one.with_least_replicas(count) for one in self.predictors)
        return self.model_copy(update={"predictors": predictors})


def webhook_problems(specification: Specification) -> list[str]:
    """What Seldon's webhook would refuse a specification for; empty where it takes it."""
    predictors = specification.predictors
    names = [one.name for one in predictors]
    answering = [one for one in predictors if not one.shadow]
    problems = [
        f"two predictors are named {name}" for name in sorted({n for n in names if names.count(n) > 1})
    ]
    if not answering:
        problems.append("a shadow cannot be alone: nothing would answer")
    if len(predictors) - len(answering) > 1:
        problems.append(f"{len(predictors) - len(answering)} shadows; there may be one")
    total = sum(one.traffic for one in answering)
    if len(answering) > 1 and total != ALL_TRAFFIC:
        problems.append(f"the traffic of {', '.join(names)} sums to {total}, not {ALL_TRAFFIC}")
    if len(predictors) == 1 and 0 < total < ALL_TRAFFIC:
        problems.append(f"{names[0]} has {total} of the traffic, and there is no other predictor")
    return [*problems, *(said for one in predictors for said in _problems_of(one))]


def _problems_of(predictor: Predictor) -> Iterator[str]:
    """What the webhook would refuse one predictor for."""
    units = list(predictor.graph.units())
    containers = {part.name for component in predictor.component_specs for part in component.spec.containers}
    for unit in units:
        if unit.name not in containers:
            yield f"unit {unit.name} of predictor {predictor.name} has no container of its name"
    if len(units) > 1 and NO_ENGINE in predictor.annotations:
        yield f"predictor {predictor.name} has {len(units)} units and no engine to lead from one to the next"
    if predictor.replicas is not None and any(one.hpa_spec for one in predictor.component_specs):
        yield f"predictor {predictor.name} is autoscaled and has a fixed number of replicas"
    if any(one.hpa_spec and one.replicas is not None for one in predictor.component_specs):
        yield f"pods of predictor {predictor.name} are autoscaled and have a fixed number of replicas"


class Metadata(KubernetesType):
    """Whose the resource is, and what is kept with it."""

    name: str
    namespace: str
    labels: dict[str, str]
    annotations: dict[str, str]
    resource_version: str | None = None


class SeldonDeployment(KubernetesType):
    """One model in one environment."""

    api_version: Literal["machinelearning.seldon.io/v1"] = "machinelearning.seldon.io/v1"
    kind: Literal["SeldonDeployment"] = "SeldonDeployment"
    metadata: Metadata
    spec: Specification
