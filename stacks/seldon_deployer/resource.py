"""The part of ``SeldonDeployment`` (machinelearning.seldon.io/v1) that we use, as types that know their keys.

They are checked by the rules of Seldon's webhook before anything is sent, so that what it would refuse is
said without a cluster.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

GROUP, VERSION, KIND, PLURAL = "machinelearning.seldon.io", "v1", "SeldonDeployment", "seldondeployments"
ALL_TRAFFIC = 100
NO_ENGINE = "seldon.io/no-engine"
"""An annotation of a predictor: requests reach our container, without Seldon's orchestrator in between, which
knows neither raw pictures nor ``/health/status``."""


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


class Mount(KubernetesType):
    """Where a container sees a volume."""

    name: str
    mount_path: str
    read_only: bool | None = None


class EmptyDirectory(KubernetesType):
    """A folder that lives as long as its pod."""


class Volume(KubernetesType):
    """A volume of a pod."""

    name: str
    empty_dir: EmptyDirectory = EmptyDirectory()


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
    security_context: ContainerSecurity = ContainerSecurity()
    # The end of the log becomes the reason that the pod gives.
    termination_message_policy: Literal["FallbackToLogsOnError"] = "FallbackToLogsOnError"


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
    """Labels of the pods."""

    labels: dict[str, str]


class Component(KubernetesType):
    """The pods of a predictor."""

    metadata: ComponentMetadata
    spec: PodSpecification
    hpa_spec: HpaSpecification | None = None

    def with_least_replicas(self, count: int) -> Component:
        """The same, autoscaled from ``count`` replicas on, or from its most where that is less."""
        if self.hpa_spec is None:
            return self
        least = min(count, self.hpa_spec.max_replicas)
        return self.model_copy(update={"hpa_spec": self.hpa_spec.model_copy(update={"min_replicas": least})})


class Graph(KubernetesType):
    """What a request passes through: one unit."""

    name: str
    type: Literal["MODEL"] = "MODEL"


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


class Specification(KubernetesType):
    """What is served: one predictor, or later several that share the traffic."""

    protocol: Literal["seldon"] = "seldon"
    predictors: tuple[Predictor, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _as_the_webhook_wants(self) -> Specification:
        problems = webhook_problems(self)
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def with_least_replicas(self, count: int) -> Specification:
        """The same, autoscaled from ``count`` replicas on; unchanged where it is not autoscaled."""
        predictors = []
        for predictor in self.predictors:
            components = tuple(one.with_least_replicas(count) for one in predictor.component_specs)
            predictors.append(predictor.model_copy(update={"component_specs": components}))
        return self.model_copy(update={"predictors": tuple(predictors)})


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
    for one in predictors:
        containers = {part.name for component in one.component_specs for part in component.spec.containers}
        if one.graph.name not in containers:
            problems.append(f"unit {one.graph.name} of predictor {one.name} has no container of its name")
        if one.replicas is not None and any(component.hpa_spec for component in one.component_specs):
            problems.append(f"predictor {one.name} is autoscaled and has a fixed number of replicas")
    return problems


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
