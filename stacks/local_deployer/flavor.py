"""The ZenML flavor ``seldon-local`` and its settings."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from pydantic import ConfigDict, Field, field_validator
from zenml.config.global_config import GlobalConfiguration
from zenml.model_deployers import BaseModelDeployer
from zenml.model_deployers.base_model_deployer import BaseModelDeployerFlavor

from serving.launching import DEFAULT_QUEUE
from stacks.capturing import CapturingModelDeployerConfig

PROJECT = Path(__file__).resolve().parents[2]


class SeldonLocalModelDeployerConfig(CapturingModelDeployerConfig):
    """Where and how the local deployer serves; what it captures is told as everywhere.

    Attributes:
        host: loopback address of the ingress.
        port: of the ingress; every release's URL begins with it.
        state_directory: holds what is live, logs and copies of the models. None: below ZenML's configuration.
        serving_environment: the virtual environment of the microservice; relative to the project.
        start_timeout_s: how long a new microservice may take until it answers.
        drain_timeout_s: how long requests of the replaced one may take to end.
        lock_timeout_s: how long to wait for another command that changes what is served.
        max_body_bytes: a larger request gets a 413.
        queue: requests that may be at a microservice, running and waiting; the next one gets a 429.
        gate_public_key: whose signature a model and its verdict need: PEM text, or the path of a PEM file.
        actor_public_keys: by account, whose signatures count on approvals and audit entries; the same.
    """

    model_config = ConfigDict(extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(default=8090, ge=1, le=65535)
    state_directory: str | None = None
    serving_environment: str = ".venv-serving"
    start_timeout_s: float = Field(default=60.0, gt=0)
    drain_timeout_s: float = Field(default=30.0, ge=0)
    lock_timeout_s: float = Field(default=180.0, ge=0)
    max_body_bytes: int = Field(default=32_000_000, gt=0)
    # Measured on two busy Xeon cores, in CPU a request with the ingress: small_cnn 3.9 ms at 28 pixels and
    # 19.4 ms at 224. The last of 32 waits for 63 or 310 ms before two workers, within the product's 500 ms.
    queue: int = Field(default=DEFAULT_QUEUE, gt=0)
    gate_public_key: str | None = None
    actor_public_keys: dict[str, str] = Field(default_factory=dict)

    @field_validator("host")
    @classmethod
    def _loopback_only(cls, host: str) -> str:
        try:
            loopback = ipaddress.IPv4Address(host).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise ValueError(f"host is {host!r}; the local deployer binds loopback only: 127.0.0.1")
        return host

    @property
    def site(self) -> Path:
        """The state directory, absolute."""
        if self.state_directory is not None:
            return Path(self.state_directory).expanduser().resolve()
        return Path(GlobalConfiguration().config_directory).resolve() / "shutterline" / "deployer"

    @property
    def serving_python(self) -> Path:
        """The Python of the serving environment."""
        return PROJECT / Path(self.serving_environment).expanduser() / "bin" / "python"

    @property
    def is_local(self) -> bool:
        """Processes of this machine."""
        return True


class SeldonLocalModelDeployerFlavor(BaseModelDeployerFlavor):
    """Seldon microservices of this machine behind Envoy."""

    @property
    def name(self) -> str:
        """The name that stacks use."""
        return "seldon-local"

    @property
    def config_class(self) -> type[SeldonLocalModelDeployerConfig]:
        """The settings."""
        return SeldonLocalModelDeployerConfig

    @property
    def implementation_class(self) -> type[BaseModelDeployer]:
        """The deployer."""
        from stacks.local_deployer.deployer import SeldonLocalModelDeployer

        return SeldonLocalModelDeployer
