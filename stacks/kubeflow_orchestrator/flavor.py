"""The ZenML flavor ``shutterline-kubeflow`` and its settings."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt
from zenml.integrations.kubeflow.flavors import KubeflowOrchestratorFlavor
from zenml.integrations.kubeflow.flavors.kubeflow_orchestrator_flavor import (
    KubeflowOrchestratorConfig,
    KubeflowOrchestratorSettings,
)
from zenml.utils.secret_utils import SecretField

from materializers.resources import QUANTITY


class ShutterlineKubeflowSettings(KubeflowOrchestratorSettings):
    """What a step's container may be given, beside ZenML's own settings.

    Attributes:
        cpu_request: CPUs that the node must have free.
        cpu_limit: CPUs that the container may take.
        memory_request: memory that the node must have free, such as ``4G``.
        memory_limit: memory above which the container is ended.
        gpus: NVIDIA GPUs.
        node_pool: labels that the node must have.
        step_timeout_s: seconds after which the container is ended.
    """

    cpu_request: PositiveFloat | None = None
    cpu_limit: PositiveFloat | None = None
    memory_request: str | None = Field(default=None, pattern=QUANTITY)
    memory_limit: str | None = Field(default=None, pattern=QUANTITY)
    gpus: NonNegativeInt = 0
    node_pool: dict[str, str] | None = None
    step_timeout_s: PositiveInt | None = None


class ShutterlineKubeflowOrchestratorConfig(KubeflowOrchestratorConfig, ShutterlineKubeflowSettings):
    """Where Kubeflow is, and what every step's container is given.

    Attributes:
        image: of the step containers; `make images` builds it.
        api_key_secret: the Kubernetes secret whose key ``api_key`` holds the API key of the ZenML service
            account that steps log in with.
        kubeflow_token: the bearer token that Kubeflow asks of a client; None where it asks for none.
        environment: plain variables of every step's container, such as ``AWS_REGION``.
        environment_secrets: variables that Kubernetes secrets hold: name of the variable → ``SECRET.KEY``.
        step_secrets: the same of one step alone, by its name: none but the gate gets the gate's key.
        poll_s: how often a waiting client asks whether the run has ended.
        timeout: seconds after which a run that a client waits for is ended.
    """

    model_config = ConfigDict(extra="forbid")

    image: str = Field(min_length=1)
    api_key_secret: str = Field(min_length=1)
    kubeflow_token: str | None = SecretField(default=None)
    environment: dict[str, str] = Field(default_factory=dict)
    environment_secrets: dict[str, str] = Field(default_factory=dict)
    step_secrets: dict[str, dict[str, str]] = Field(default_factory=dict)
    poll_s: float = Field(default=2.0, gt=0)
    timeout: PositiveInt = 3600

    @property
    def handles_step_retries(self) -> bool:
        """Kubeflow starts a container again that failed."""
        return True


class ShutterlineKubeflowOrchestratorFlavor(KubeflowOrchestratorFlavor):
    """Kubeflow Pipelines with memory, GPUs, node pools, retries and time-outs of each step."""

    @property
    def name(self) -> str:
        """The name that stacks use."""
        return "shutterline-kubeflow"

    @property
    def service_connector_requirements(self) -> None:
        """None: where Kubeflow is, and the token for it, stand in the stack file."""
        return None

    @property
    def config_class(self) -> type[ShutterlineKubeflowOrchestratorConfig]:
        """The settings."""
        return ShutterlineKubeflowOrchestratorConfig

    @property
    def implementation_class(self) -> type[Any]:
        """The orchestrator."""
        from stacks.kubeflow_orchestrator.orchestrator import ShutterlineKubeflowOrchestrator

        return ShutterlineKubeflowOrchestrator
