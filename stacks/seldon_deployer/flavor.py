"""The ZenML flavor ``seldon-cluster`` and its settings."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from zenml.model_deployers import BaseModelDeployer
from zenml.model_deployers.base_model_deployer import BaseModelDeployerFlavor
from zenml.utils.secret_utils import SecretField

from materializers.release import Environment
from materializers.resources import QUANTITY
from stacks.capturing import CapturingModelDeployerConfig

NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
OPTIONAL = frozenset(
    {
        "kubernetes_url",
        "kubernetes_token",
        "kubernetes_ca",
        "kubernetes_context",
        "s3_endpoint",
        "gate_public_key",
        "v2_image",
    }
)
Interface = Literal["rest", "grpc", "v2"]
Memory = Annotated[str, Field(pattern=QUANTITY)]
ADDRESS = re.compile(r"https?://[^/\s?#]+(?:/[^\s?#]*)?")


class Settings(BaseModel):
    """Settings that know their keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Autoscaling(Settings):
    """Between how many replicas Kubernetes chooses, and at what share of the requested CPU and memory."""

    minimum: int = Field(default=2, ge=1)
    maximum: int = Field(default=10, ge=1)
    cpu_percent: int = Field(default=70, ge=1, le=100)
    memory_percent: int = Field(default=80, ge=1, le=100)

    @model_validator(mode="after")
    def _ordered(self) -> Autoscaling:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum is {self.minimum}, more than maximum, {self.maximum}")
        return self


class Probes(Settings):
    """When the serving process is asked whether it lives, and whether it is ready; in seconds."""

    live_after_s: int = Field(default=30, ge=0)
    live_every_s: int = Field(default=10, ge=1)
    ready_after_s: int = Field(default=5, ge=0)
    ready_every_s: int = Field(default=5, ge=1)


class StagingSettings(Settings):
    """One environment: replicas, and what the service's container of each gets.

    Attributes:
        replicas: how many it starts with; without ``autoscaling`` it stays so.
        autoscaling: None keeps ``replicas``.
        cpu_request: what the scheduler sets aside, and what autoscaling measures against.
        gpus: NVIDIA GPUs of each container.
        interfaces: how the live release can be asked; each besides ``rest`` has pods of its own.
    """

    replicas: int = Field(default=1, ge=1)
    autoscaling: Autoscaling | None = None
    cpu_request: str = "2"
    cpu_limit: str = "2"
    memory_request: Memory = "4G"
    memory_limit: Memory = "4G"
    gpus: int = Field(default=0, ge=0)
    interfaces: tuple[Interface, ...] = ("rest",)
    probes: Probes = Probes()

    @model_validator(mode="after")
    def _asked_by_rest_too(self) -> StagingSettings:
        if "rest" not in self.interfaces or len(set(self.interfaces)) < len(self.interfaces):
            raise ValueError(f"interfaces is {list(self.interfaces)}; it has rest, and each of them once")
        return self

    @model_validator(mode="after")
    def _starts_in_range(self) -> StagingSettings:
        scale = self.autoscaling
        if scale and not scale.minimum <= self.replicas <= scale.maximum:
            raise ValueError(
                f"replicas is {self.replicas}; with autoscaling it lies between {scale.minimum} and "
                f"{scale.maximum}"
            )
        return self

    @property
    def scaling(self) -> tuple[int, int]:
        """The least and the most replicas that there are."""
        scale = self.autoscaling
        return (scale.minimum, scale.maximum) if scale else (self.replicas, self.replicas)


class ProductionSettings(StagingSettings):
    """The same settings with production's values."""

    replicas: int = Field(default=3, ge=1)
    autoscaling: Autoscaling | None = Autoscaling()
    cpu_limit: str = "4"
    memory_limit: Memory = "8G"


class SeldonClusterModelDeployerConfig(CapturingModelDeployerConfig):
    """Which cluster serves, and how; what it captures is told as everywhere.

    The cluster is named by ``kubernetes_url`` with ``kubernetes_token``, or by ``kubernetes_context`` of the
    kubeconfig; by neither it is the one that the process runs in, through its service account.

    Attributes:
        kubernetes_url: address of the API server.
        kubernetes_token: of a service account that may do what docs/kubeflow.md lists.
        kubernetes_ca: the certificate (PEM) that signed the API server's, where this machine does not know
            it. The ingress is asked with the certificates that REQUESTS_CA_BUNDLE or SSL_CERT_FILE names.
        kubernetes_context: of the kubeconfig.
        namespace: of the SeldonDeployments, and of the secret.
        ingress_url: where predictions are asked for; every release's URL begins with it.
        image: of the serving process, from serving/Dockerfile.
        v2_image: of the process that speaks the v2 protocol, where an environment has that interface.
        storage_initializer_image: copies the model out of S3; rclone.
        s3_secret: the Kubernetes secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, by which pods read
            their model and write what they captured.
        s3_endpoint: of an S3 server other than Amazon's, as the pods reach it.
        s3_region: of the bucket.
        service_token: what a request to a service has to show, as Authorization: Bearer; the deployer's own
            requests too. The same as in the Kubernetes secret.
        token_secret: the Kubernetes secret with that token, key ``token``, which pods read.
        ready_timeout_s: how long a new version may take until it answers.
        lock_timeout_s: how long to wait for another command that changes what is served.
        stop_timeout_s: how long pods may take to end.
        max_body_bytes: a larger request gets a 413.
        gate_public_key: whose signature a model and its verdict need: PEM text.
        actor_public_keys: by account, whose signatures count on approvals and audit entries: PEM text.
        staging: the environment's settings.
        production: the environment's settings.
    """

    model_config = ConfigDict(extra="forbid")

    kubernetes_url: str | None = None
    kubernetes_token: str | None = SecretField(default=None)
    kubernetes_ca: str | None = None
    kubernetes_context: str | None = None
    namespace: str = "shutterline"
    ingress_url: str
    image: str
    v2_image: str | None = None
    storage_initializer_image: str = "rclone/rclone:1.69.1"
    s3_secret: str = "shutterline-s3"  # noqa: S105 - the name that Kubernetes keeps it under
    s3_endpoint: str | None = None
    s3_region: str = "us-east-1"
    service_token: str = SecretField()
    token_secret: str = "shutterline-serving-token"  # noqa: S105 - the name that Kubernetes keeps it under
    ready_timeout_s: float = Field(default=600.0, gt=0)
    lock_timeout_s: float = Field(default=180.0, ge=0)
    stop_timeout_s: float = Field(default=120.0, ge=0)
    max_body_bytes: int = Field(default=32_000_000, gt=0)
    gate_public_key: str | None = None
    actor_public_keys: dict[str, str] = Field(default_factory=dict)
    staging: StagingSettings = StagingSettings()
    production: ProductionSettings = ProductionSettings()

    @model_validator(mode="before")
    @classmethod
    def _consistent(cls, values: Any) -> Any:
        # Before ZenML wraps attributes: a reference to a secret is looked at, never looked up, here.
        if not isinstance(values, dict):
            return values
        # What a stack file takes from the environment is empty where nothing is set.
        values = {key: None if key in OPTIONAL and value == "" else value for key, value in values.items()}
        url, token, context = (values.get(f"kubernetes_{key}") for key in ("url", "token", "context"))
        if bool(url) != bool(token):
            raise ValueError("kubernetes_url and kubernetes_token go together")
        if url and context:
            raise ValueError("kubernetes_url and kubernetes_context name a cluster each: give one of them")
        for key in ("kubernetes_url", "ingress_url", "s3_endpoint"):
            value = values.get(key)
            if value is not None and not ADDRESS.fullmatch(str(value)):
                raise ValueError(f"{key} is {value!r}; write an address such as https://host:6443")
        for name in ("staging", "production"):
            settings = values.get(name)
            asked = settings.get("interfaces", ()) if isinstance(settings, dict) else ()
            if "v2" in asked and not values.get("v2_image"):
                raise ValueError(
                    f"{name} has the interface v2, and v2_image names no image that answers by it: "
                    "give it REGISTRY/shutterline-mlserver:TAG, as pushed by: make images ARGS=--push"
                )
        namespace = values.get("namespace")
        if namespace is not None and not NAMESPACE.fullmatch(str(namespace)):
            raise ValueError(f"namespace is {namespace!r}; Kubernetes takes lower case letters, digits and -")
        return values

    def environment(self, name: Environment) -> StagingSettings:
        """The settings of one environment."""
        return self.production if name == "production" else self.staging

    @property
    def site(self) -> str:
        """The deployer's place, as ZenML's records name it."""
        cluster = self.kubernetes_url or self.kubernetes_context or "in-cluster"
        return f"{cluster}/namespaces/{self.namespace}"

    @property
    def is_remote(self) -> bool:
        """Pods of a cluster."""
        return True

    @property
    def is_local(self) -> Literal[False]:
        """Nothing of this machine."""
        return False


class SeldonClusterModelDeployerFlavor(BaseModelDeployerFlavor):
    """SeldonDeployments of a Kubernetes cluster."""

    @property
    def name(self) -> str:
        """The name that stacks use."""
        return "seldon-cluster"

    @property
    def config_class(self) -> type[SeldonClusterModelDeployerConfig]:
        """The settings."""
        return SeldonClusterModelDeployerConfig

    @property
    def implementation_class(self) -> type[BaseModelDeployer]:
        """The deployer."""
        from stacks.seldon_deployer.deployer import SeldonClusterModelDeployer

        return SeldonClusterModelDeployer
